"""The finished model's numbers: metrics with intervals on the test split, the temperature from the validation split, the ladder below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import Measured
from tuneloop_trainer.evaluation.calibration import expected_calibration_error, fit_temperature
from tuneloop_trainer.evaluation.metrics import (
    ClassScore,
    Integers,
    accuracy,
    confusion_matrix,
    log_losses,
    macro_f1,
    matthews,
    per_class,
)

if TYPE_CHECKING:
    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.predictions import Predictions

GAIN = "accuracy_gain_over_tfidf_linear"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the model achieved. Each probability-based metric stands twice: as it is, and `_calibrated` by the temperature."""

    metrics: list[Measured]
    confusion: Integers
    """int64 [C, C]: test rows by true and predicted class."""
    classes: list[ClassScore]
    temperature: float


def measure(*, validation: Predictions, test: Predictions, bootstrap: Bootstrap) -> Evaluation:
    """Return every number of the model; nothing but the temperature is taken from the validation split.

    The calibration error has no interval: it is biased upwards, and a resample of the rows would add the same bias again.
    """
    logits, labels = test.logits, test.labels
    temperature = fit_temperature(validation.logits, validation.labels)
    confusion = confusion_matrix(labels, logits.argmax(axis=1), classes=logits.shape[1])
    metrics = [
        _measured("accuracy", bootstrap.of_confusion(confusion, accuracy)),
        _measured("macro_f1", bootstrap.of_confusion(confusion, macro_f1)),
        _measured("mcc", bootstrap.of_confusion(confusion, matthews)),
    ]
    if logits.shape[1] == 2 and 0 < labels.sum() < len(labels):
        metrics.append(_measured("auroc", bootstrap.of_auroc(logits[:, 1] - logits[:, 0], labels)))
    for suffix, divisor in (("", 1.0), ("_calibrated", temperature)):
        losses = log_losses(logits / divisor, labels)
        error = expected_calibration_error(logits, labels, temperature=divisor)
        metrics.append(_measured(f"log_loss{suffix}", bootstrap.of_mean(losses)))
        metrics.append(Measured(name=f"ece{suffix}", value=error))
    return Evaluation(metrics=metrics, confusion=confusion, classes=per_class(confusion), temperature=temperature)


def rung(name: str, predictions: Integers, labels: Integers, *, bootstrap: Bootstrap) -> Measured:
    """Return the accuracy of something simpler as one rung of the ladder; both int64 [N]."""
    classes = int(max(predictions.max(), labels.max())) + 1
    confusion = confusion_matrix(labels, predictions, classes=classes)
    return _measured(name, bootstrap.of_confusion(confusion, accuracy))


def gain(test: Predictions, baseline: Integers, *, bootstrap: Bootstrap) -> Measured:
    """Return the model's accuracy minus the baseline's on the same rows, with a paired interval."""
    right = test.logits.argmax(axis=1) == test.labels
    return _measured(GAIN, bootstrap.of_accuracy_difference(right, baseline == test.labels))


def _measured(name: str, interval: Interval) -> Measured:
    return Measured(name=name, value=interval.value, low=interval.low, high=interval.high)
