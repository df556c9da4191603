"""Evaluation of a language model: how well it predicts the tokens that it is to write, from sums over the targets of each row.

What is kept of a row is its loss and how many of its targets are the likeliest token: never logits, of which a row would have as many as the vocabulary has
tokens for each of its own. The unit of an interval is the row: the tokens of one text are alike.

Shapes: N = rows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.evaluation.measure import Evaluation, measured
from tuneloop_trainer.evaluation.metrics import ratio
from tuneloop_trainer.evaluation.paired_scores import PairedScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.metrics import Floats
    from tuneloop_trainer.evaluation.predictions import Predictions

SUMS = 2
"""Of each row: the loss in nats, and the targets that are the likeliest token."""
_LOSS, _RIGHT, _TOKENS, _BYTES = range(4)
_LARGEST_LOSS = 700.0
"""In nats; the perplexity of a larger one is no float64."""


def loss(sums: NDArray[Any]) -> Floats:
    """Return [...]: the mean loss of a target in nats. sums: [..., 4]."""
    return ratio(sums[..., _LOSS], sums[..., _TOKENS])


def perplexity(sums: NDArray[Any]) -> Floats:
    """Return [...]: e to the mean loss, at most e^700. sums: [..., 4]."""
    result: Floats = np.exp(np.minimum(loss(sums), _LARGEST_LOSS))
    return result


def bits_per_byte(sums: NDArray[Any]) -> Floats:
    """Return [...]: bits that the targets take, by byte (UTF-8) of the text that they stand for. Unlike perplexity it does not depend on the tokenizer. sums: [..., 4]."""
    return ratio(sums[..., _LOSS], sums[..., _BYTES]) / math.log(2)


def token_accuracy(sums: NDArray[Any]) -> Floats:
    """Return [...]: the share of targets that are the likeliest token. sums: [..., 4]."""
    return ratio(sums[..., _RIGHT], sums[..., _TOKENS])


_METRICS = {
    "bits_per_byte": bits_per_byte,
    "loss": loss,
    "perplexity": perplexity,
    "accuracy": token_accuracy,
}


def sums_as_kept(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sums of each row, [N, 2]: what `score` counts of a language model is what was kept."""
    return values


def comparable_losses(values: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return 1 + the mean loss of a target of each row, [N, 1]. Rounding changes a loss as it changes logits, by a share of their size, and not of its own: a loss may be nearly 0."""
    return (1.0 + values[:, _LOSS] / labels[:, 0])[:, None].astype(np.float32)


def language_metrics(predictions: Predictions, _labels: Sequence[str]) -> dict[str, float]:
    """Return loss, perplexity, bits_per_byte, and accuracy of the next token."""
    sums = _of_rows(predictions, predictions.values).sum(axis=0)
    return {name: float(metric(sums)) for name, metric in _METRICS.items()}


def evaluate_language(
    *, validation: Predictions, test: Predictions, labels: Sequence[str], bootstrap: Bootstrap
) -> Evaluation:
    """Return every number of the model, with intervals over rows."""
    del validation, labels
    rows = _of_rows(test, test.values)
    return Evaluation(
        metrics=[measured(name, bootstrap.of_sums(rows, metric)) for name, metric in _METRICS.items()],
        confusion=None,
        classes={},
        temperature=1.0,
        calibration="The loss itself says how well the probabilities of tokens fit: no temperature is fitted.",
    )


def language_score(
    test: Predictions, kept: NDArray[np.float32], _labels: Sequence[str], bootstrap: Bootstrap
) -> Interval:
    """Return the bits per byte of kept sums, [N, 2], on the rows of `test`."""
    return bootstrap.of_sums(_of_rows(test, kept), bits_per_byte)


def language_gain(
    test: Predictions, baseline: NDArray[np.float32], _labels: Sequence[str], bootstrap: Bootstrap
) -> Interval:
    """Return by how many bits per byte the model takes less than a baseline, whose sums are [N, 2], on the same rows, with a paired interval."""
    both = np.concatenate([_of_rows(test, kept) for kept in (baseline, test.values)], axis=1)
    width = both.shape[1] // 2
    return bootstrap.of_sums(both, lambda sums: bits_per_byte(sums[..., :width]) - bits_per_byte(sums[..., width:]))


def paired_language(test: Predictions, champion: NDArray[np.float32], _labels: Sequence[str]) -> list[PairedScores]:
    """Return what each row adds to the bits per byte of both. champion: its sums, [N, 2]."""
    return [
        PairedScores(
            name=None,
            rows=np.arange(len(test.rows)),
            challenger=_of_rows(test, test.values),
            champion=_of_rows(test, champion),
            statistic=bits_per_byte,
            errors=lambda sums: sums[..., _LOSS],
            zero_one=False,
            is_falling=True,
        )
    ]


def _of_rows(predictions: Predictions, kept: NDArray[np.float32]) -> Floats:
    """Return float64 [N, 4], what each row adds: loss, right targets, targets, bytes of the targets. A row that is read in blocks has a line for each."""
    lines = np.concatenate([kept, predictions.labels], axis=1).astype(np.float64)
    rows: Floats = np.add.reduceat(lines, predictions.offsets[:-1], axis=0)
    return rows
