"""Evaluation of rows that have one class each.

Shapes: N = rows, C = classes. Every row is one target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.results import Measured
from tuneloop_trainer.evaluation.calibration import expected_calibration_error
from tuneloop_trainer.evaluation.measure import Evaluation, measured
from tuneloop_trainer.evaluation.metrics import (
    Integers,
    accuracy,
    confusion_matrix,
    log_losses,
    macro_f1,
    macro_f1_of,
    matthews,
    per_class,
    ratio,
)
from tuneloop_trainer.evaluation.paired_scores import PairedScores
from tuneloop_trainer.evaluation.temperature import chosen_temperature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.predictions import Predictions


def row_metrics(predictions: Predictions, _labels: Sequence[str]) -> dict[str, float]:
    """Return loss (mean cross-entropy, without label smoothing), accuracy, macro_f1 and mcc."""
    confusion = _confusion(predictions, predictions.predicted)
    return {
        "loss": float(log_losses(predictions.values, predictions.labels).mean()),
        "accuracy": float(accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
        "mcc": float(matthews(confusion)),
    }


def evaluate_rows(
    *, validation: Predictions, test: Predictions, labels: Sequence[str], bootstrap: Bootstrap
) -> Evaluation:
    """Return every number of the model; nothing but the temperature is taken from the validation split.

    The calibration error has no interval: it is biased upwards, and a resample of the rows would add the same bias again.
    """
    logits, truth = test.values, test.labels
    temperature = chosen_temperature(validation)
    confusion = _confusion(test, test.predicted)
    metrics = [
        measured("accuracy", bootstrap.of_confusion(confusion, accuracy)),
        measured("macro_f1", bootstrap.of_confusion(confusion, macro_f1)),
        measured("mcc", bootstrap.of_confusion(confusion, matthews)),
    ]
    if logits.shape[1] == 2 and 0 < truth.sum() < len(truth):
        metrics.append(measured("auroc", bootstrap.of_auroc(logits[:, 1] - logits[:, 0], truth)))
    for suffix, divisor in (("", 1.0), ("_calibrated", temperature.value)):
        losses = log_losses(logits / divisor, truth)
        error = expected_calibration_error(logits, truth, temperature=divisor)
        metrics.append(measured(f"log_loss{suffix}", bootstrap.of_mean(losses)))
        metrics.append(Measured(name=f"ece{suffix}", value=error))
    scores = dict(zip(labels, per_class(confusion), strict=True))
    return Evaluation(
        metrics=metrics,
        confusion=confusion,
        classes=scores,
        temperature=temperature.value,
        calibration=temperature.reason,
    )


def row_accuracy(test: Predictions, predicted: Integers, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the accuracy of predicted class ids, int64 [N], on the rows of `test`."""
    return bootstrap.of_confusion(_confusion(test, predicted), accuracy)


def row_accuracy_gain(test: Predictions, baseline: Integers, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the model's accuracy minus that of a baseline's class ids, int64 [N], on the same rows, with a paired interval."""
    return bootstrap.of_accuracy_difference(test.predicted == test.labels, baseline == test.labels)


def paired_rows(test: Predictions, champion: Integers, labels: Sequence[str]) -> list[PairedScores]:
    """Return who is right on which rows: all of them, then those of each class that occurs. champion: its class ids, int64 [N]."""
    right = [predicted == test.labels for predicted in (test.predicted, champion)]
    challenger, other = (np.stack([hits, np.ones_like(hits)], axis=1).astype(np.int64) for hits in right)

    def scores(name: str | None, rows: Integers) -> PairedScores:
        return PairedScores(
            name=name,
            rows=rows,
            challenger=challenger[rows],
            champion=other[rows],
            statistic=lambda sums: ratio(sums[..., 0], sums[..., 1]),
            errors=lambda sums: sums[..., 1] - sums[..., 0],
            zero_one=True,
        )

    classes = [(label, np.flatnonzero(test.labels == index)) for index, label in enumerate(labels)]
    whole = scores(None, np.arange(len(test.labels)))
    return [whole, *(scores(label, rows) for label, rows in classes if len(rows))]


def row_macro_f1(test: Predictions, predicted: Integers, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the macro F1 of predicted class ids, int64 [N], on the rows of `test`."""
    return bootstrap.of_confusion(_confusion(test, predicted), macro_f1)


def paired_macro_f1(test: Predictions, champion: Integers, labels: Sequence[str]) -> list[PairedScores]:
    """Return what each row adds to the macro F1 of both, then who is right on the rows of each class. champion: its class ids, int64 [N].

    Sums: right, predicted and true rows of each class, [3 C].
    """
    classes, rows = len(labels), len(test.labels)

    def added(predicted: Integers) -> Integers:
        found = np.zeros((3, rows, classes), dtype=np.int64)
        found[0, np.arange(rows), predicted] = predicted == test.labels
        found[1, np.arange(rows), predicted] = 1
        found[2, np.arange(rows), test.labels] = 1
        return np.concatenate(found, axis=1)

    whole = PairedScores(
        name=None,
        rows=np.arange(rows),
        challenger=added(test.predicted),
        champion=added(champion),
        statistic=lambda sums: macro_f1_of(*np.split(sums, 3, axis=-1)),
        errors=lambda sums: (sums[..., 2 * classes :] - sums[..., :classes]).sum(axis=-1),
        zero_one=False,
    )
    return [whole, *paired_rows(test, champion, labels)[1:]]


def _confusion(predictions: Predictions, predicted: Integers) -> Integers:
    return confusion_matrix(predictions.labels, predicted, classes=predictions.values.shape[1])
