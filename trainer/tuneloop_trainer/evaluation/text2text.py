"""Evaluation of a model that writes a text for a text: how well it predicts the tokens of the targets, and how near its own texts are to them.

What is kept of a row is the loss and the right tokens of its target (`language_model`). Of test rows, for which the model wrote texts, follow the sums of
`written_texts`. The unit of an interval is the row.

Shapes: N = rows, S = sums of written texts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.evaluation.language_model import SUMS as TARGET_SUMS
from tuneloop_trainer.evaluation.language_model import evaluate_language, language_metrics
from tuneloop_trainer.evaluation.measure import measured
from tuneloop_trainer.evaluation.written_texts import WRITTEN_METRICS, chrf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.measure import Evaluation
    from tuneloop_trainer.evaluation.metrics import Floats
    from tuneloop_trainer.evaluation.predictions import Predictions


def kept_of_written(values: NDArray[Any]) -> Floats:
    """Return the sums of written texts in what was kept, [N, S]; S is 0 where the model wrote none."""
    return values[:, TARGET_SUMS:].astype(np.float64)


def _of_targets(predictions: Predictions) -> Predictions:
    return replace(predictions, values=predictions.values[:, :TARGET_SUMS])


def text2text_metrics(predictions: Predictions, labels: Sequence[str]) -> dict[str, float]:
    """Return loss, perplexity, bits_per_byte and accuracy of the target's tokens; where the model wrote texts, also the metrics of these."""
    found = language_metrics(_of_targets(predictions), labels)
    sums = kept_of_written(predictions.values).sum(axis=0)
    return found | ({name: float(metric(sums)) for name, metric in WRITTEN_METRICS.items()} if len(sums) else {})


def evaluate_written(
    *, validation: Predictions, test: Predictions, labels: Sequence[str], bootstrap: Bootstrap
) -> Evaluation:
    """Return every number of the model, with intervals over rows."""
    of_targets = evaluate_language(
        validation=_of_targets(validation), test=_of_targets(test), labels=labels, bootstrap=bootstrap
    )
    rows = kept_of_written(test.values)
    written = [measured(name, bootstrap.of_sums(rows, metric)) for name, metric in WRITTEN_METRICS.items()]
    return replace(of_targets, metrics=[*written, *of_targets.metrics])


def written_score(_test: Predictions, sums: Floats, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return chrF of the sums of other texts for the test rows, [N, S]."""
    return bootstrap.of_sums(sums, chrf)


def written_gain(test: Predictions, baseline: Floats, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return chrF of the model minus that of a baseline, whose sums are [N, S], on the same rows, with a paired interval."""
    both = np.concatenate([kept_of_written(test.values), baseline], axis=1)
    width = baseline.shape[1]
    return bootstrap.of_sums(both, lambda sums: chrf(sums[..., :width]) - chrf(sums[..., width:]))
