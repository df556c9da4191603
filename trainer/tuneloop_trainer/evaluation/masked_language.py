"""Evaluation of a masked language model, from sums over the masked tokens of each row.

The numbers have names of their own. Such a model reads the text on both sides of a token, and with others masked at the same time: its perplexity is not that of a
model that writes, and its bits are those of the masked bytes alone.

Shapes: N = rows, M = targets of a row, V = tokens of the vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.wire.model import changed
from tuneloop_trainer.evaluation.language_model import evaluate_language, language_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.intervals import Bootstrap
    from tuneloop_trainer.evaluation.measure import Evaluation
    from tuneloop_trainer.evaluation.predictions import Predictions

_NAMES = {"perplexity": "masked_perplexity", "bits_per_byte": "bits_per_masked_byte"}


def masked_metrics(predictions: Predictions, labels: Sequence[str]) -> dict[str, float]:
    """Return loss, masked_perplexity, bits_per_masked_byte, and accuracy of the masked tokens."""
    return {_NAMES.get(name, name): value for name, value in language_metrics(predictions, labels).items()}


def evaluate_masked(
    *, validation: Predictions, test: Predictions, labels: Sequence[str], bootstrap: Bootstrap
) -> Evaluation:
    """Return every number of the model, with intervals over rows."""
    found = evaluate_language(validation=validation, test=test, labels=labels, bootstrap=bootstrap)
    named = [changed(metric, name=_NAMES.get(metric.name, metric.name)) for metric in found.metrics]
    return replace(found, metrics=named)


def unigram_sums(counts: NDArray[np.int64], targets_of_rows: Iterable[NDArray[np.int32]]) -> NDArray[np.float32]:
    """Return the sums of a model that knows how often each token stands in the training rows, [N, 2]: loss in nats, and targets that are the most frequent token.

    counts: of each token, [V]; one is added to each, so that no token is impossible. targets_of_rows: tokens that are to be predicted, [M] for each row.
    """
    loss = np.log(counts.sum() + len(counts)) - np.log(counts + 1)
    likeliest = counts.argmax()
    sums = [(loss[tokens].sum(), (tokens == likeliest).sum()) for tokens in targets_of_rows]
    return np.array(sums, dtype=np.float32).reshape(-1, 2)
