"""Evaluation of rows that have any number of labels.

A label is predicted where its probability, the sigmoid of its logit, is above one half. What is counted of the rows is how many labels are right,
predicted and true, for each label; accuracy is that of whole sets (subset accuracy). Values are those of scikit-learn with `zero_division=0`.

Shapes: N = rows, C = labels. A row is one target, with C logits and C truths, 0 or 1. Sums are [..., 3 C]: right, predicted and true rows of each label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.contract.results import Measured
from tuneloop_trainer.evaluation.calibration import expected_calibration_error
from tuneloop_trainer.evaluation.measure import Evaluation, measured
from tuneloop_trainer.evaluation.metrics import auroc, average_precision, class_scores, log_losses, ratio
from tuneloop_trainer.evaluation.paired_scores import PairedScores
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.evaluation.temperature import chosen_temperature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.metrics import Floats, Integers


def chosen_labels(logits: NDArray[Any]) -> Integers:
    """Return int64 [N, C], 1 for each label that is predicted, of logits [N, C]."""
    return (logits > 0).astype(np.int64)


def as_pairs(predictions: Predictions) -> Predictions:
    """Return the same predictions as N C targets of two classes, "is not there" and "is there": a softmax over the logits 0 and z is the sigmoid of z.

    A row keeps its targets together, as a sentence does its words.
    """
    rows, labels = predictions.values.shape
    logits = predictions.values.reshape(-1)
    return Predictions(
        values=np.stack([np.zeros_like(logits), logits], axis=1),
        labels=predictions.labels.reshape(-1),
        rows=predictions.rows,
        offsets=np.arange(rows + 1, dtype=np.int64) * labels,
    )


def micro_f1(sums: NDArray[Any]) -> Floats:
    """Return [...]: the F1 over all (row, label) pairs together."""
    right, predicted, true = (part.sum(axis=-1) for part in _parts(sums))
    return ratio(2 * right, predicted + true)


def macro_f1(sums: NDArray[Any]) -> Floats:
    """Return [...]: the mean F1 of the labels that occur, in truth or in prediction; others would say nothing."""
    _, predicted, true = _parts(sums)
    return ratio(_f1(sums).sum(axis=-1), ((predicted + true) > 0).sum(axis=-1))


def weighted_f1(sums: NDArray[Any]) -> Floats:
    """Return [...]: the mean F1 of the labels, each weighted by the rows that have it."""
    true = _parts(sums)[2]
    return ratio((_f1(sums) * true).sum(axis=-1), true.sum(axis=-1))


def label_metrics(predictions: Predictions, _labels: Sequence[str]) -> dict[str, float]:
    """Return loss (mean binary cross-entropy of all pairs), accuracy (of whole sets), micro_f1, macro_f1 and weighted_f1."""
    chosen = chosen_labels(predictions.values)
    sums = _by_row(predictions.labels, chosen).sum(axis=0)
    return {
        "loss": float(_losses(predictions).mean()),
        "accuracy": float((chosen == predictions.labels).all(axis=1).mean()),
        "micro_f1": float(micro_f1(sums)),
        "macro_f1": float(macro_f1(sums)),
        "weighted_f1": float(weighted_f1(sums)),
    }


def evaluate_labels(
    *, validation: Predictions, test: Predictions, labels: Sequence[str], bootstrap: Bootstrap
) -> Evaluation:
    """Return every number of the model; nothing but the temperature is taken from the validation split.

    The calibration error is over (row, label) pairs. The means over labels of AUROC and of average precision leave out labels that all test rows
    have, or none; they have no interval.
    """
    temperature = chosen_temperature(as_pairs(validation))
    chosen = chosen_labels(test.values)
    by_row = _by_row(test.labels, chosen)
    wrong = (chosen != test.labels).mean(axis=1)
    metrics = [
        measured("micro_f1", bootstrap.of_sums(by_row, micro_f1)),
        measured("macro_f1", bootstrap.of_sums(by_row, macro_f1)),
        measured("weighted_f1", bootstrap.of_sums(by_row, weighted_f1)),
        measured("accuracy", bootstrap.of_mean((wrong == 0).astype(np.float64))),
        measured("hamming_loss", bootstrap.of_mean(wrong)),
        *_ranking(test),
    ]
    for suffix, divisor in (("", 1.0), ("_calibrated", temperature.value)):
        metrics.append(measured(f"log_loss{suffix}", bootstrap.of_mean(_losses(test, temperature=divisor))))
        metrics.append(Measured(name=f"ece{suffix}", value=label_calibration_error(test, divisor)))
    scores = class_scores(*_parts(by_row.sum(axis=0)))
    return Evaluation(
        metrics=metrics,
        confusion=None,
        classes=dict(zip(labels, scores, strict=True)),
        temperature=temperature.value,
        calibration=temperature.reason,
    )


def label_calibration_error(predictions: Predictions, temperature: float) -> float:
    """Return the expected calibration error of all (row, label) pairs."""
    pairs = as_pairs(predictions)
    return expected_calibration_error(pairs.values, pairs.labels, temperature=temperature)


def label_f1(test: Predictions, predicted: Integers, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the micro F1 of predicted labels, 0 or 1, int64 [N, C], on the rows of `test`."""
    return bootstrap.of_sums(_by_row(test.labels, predicted), micro_f1)


def label_f1_gain(test: Predictions, baseline: Integers, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the model's micro F1 minus that of a baseline's labels, int64 [N, C], on the same rows, with a paired interval."""
    width = 3 * test.labels.shape[1]
    both = [_by_row(test.labels, predicted) for predicted in (chosen_labels(test.values), baseline)]
    return bootstrap.of_sums(
        np.concatenate(both, axis=1), lambda sums: micro_f1(sums[..., :width]) - micro_f1(sums[..., width:])
    )


def paired_labels(test: Predictions, champion: Integers, labels: Sequence[str]) -> list[PairedScores]:
    """Return what each model has right, row by row: of all labels, then of each label that occurs. champion: its labels, 0 or 1, int64 [N, C]."""
    both = [_by_row(test.labels, predicted).astype(np.int64) for predicted in (chosen_labels(test.values), champion)]

    def scores(name: str | None, counted: slice) -> PairedScores:
        challenger, other = (
            np.stack([part[:, counted].sum(axis=1) for part in _parts(of_rows)], axis=1) for of_rows in both
        )
        rows = np.arange(len(challenger))
        if name is not None:
            rows = np.flatnonzero((challenger + other).any(axis=1))
        return PairedScores(
            name=name,
            rows=rows,
            challenger=challenger[rows],
            champion=other[rows],
            statistic=micro_f1,
            errors=lambda sums: sums[..., 1] + sums[..., 2] - 2 * sums[..., 0],
            zero_one=False,
        )

    slices = [scores(label, slice(index, index + 1)) for index, label in enumerate(labels)]
    return [scores(None, slice(None)), *(found for found in slices if len(found.rows))]


def prior_entropy(truth: Integers) -> float:
    """Return the mean binary cross-entropy of a pair, in nats, for a model that knows how often each label occurs and nothing else. truth: 0 or 1, [N, C]."""
    shares = np.stack([truth.mean(axis=0), 1 - truth.mean(axis=0)])
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return float(-(shares * logs).sum(axis=0).mean())


def _by_row(truth: Integers, predicted: Integers) -> Floats:
    """Return float64 [N, 3 C]: floats, since their products are far faster than those of integers."""
    return np.concatenate([truth * predicted, predicted, truth], axis=1).astype(np.float64)


def _parts(sums: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return right, predicted and true rows of each label, [..., C] each."""
    labels = sums.shape[-1] // 3
    return sums[..., :labels], sums[..., labels : 2 * labels], sums[..., 2 * labels :]


def _f1(sums: NDArray[Any]) -> Floats:
    right, predicted, true = _parts(sums)
    return ratio(2 * right, predicted + true)


def _losses(predictions: Predictions, *, temperature: float = 1.0) -> Floats:
    """Return float64 [N]: the mean binary cross-entropy of each row's pairs."""
    pairs = as_pairs(predictions)
    return log_losses(pairs.values / temperature, pairs.labels).reshape(predictions.values.shape).mean(axis=1)


def _ranking(test: Predictions) -> list[Measured]:
    there = [index for index, rows in enumerate(test.labels.sum(axis=0)) if 0 < rows < len(test.labels)]
    if not there:
        return []
    found = {
        name: [float(metric(test.values[:, index], test.labels[:, index])) for index in there]
        for name, metric in (("macro_auroc", auroc), ("macro_average_precision", average_precision))
    }
    return [Measured(name=name, value=float(np.mean(values))) for name, values in found.items()]
