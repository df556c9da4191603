from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tuneloop_api.contract.results import Measured
from tuneloop_trainer.evaluation.classification import evaluate_rows, row_accuracy, row_accuracy_gain
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.metrics import log_probabilities
from tuneloop_trainer.evaluation.predictions import Predictions

BOOTSTRAP = Bootstrap(resamples=200)


def predicted(rows: int, classes: int, *, seed: int) -> Predictions:
    """Logits three times as large as the ones that the labels were drawn from."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)).astype(np.float32)
    labels = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return predictions(logits * 3, labels)


def predictions(logits: np.ndarray, labels: np.ndarray) -> Predictions:
    rows = np.arange(len(labels))
    return Predictions(values=logits, labels=labels, rows=rows, offsets=np.arange(len(labels) + 1))


def measured(classes: int, *, rows: int = 300) -> dict[str, Measured]:
    found = evaluate_rows(
        validation=predicted(rows, classes, seed=1),
        test=predicted(rows, classes, seed=2),
        labels=[str(number) for number in range(classes)],
        bootstrap=BOOTSTRAP,
    )
    return {metric.name: metric for metric in found.metrics}


@pytest.mark.parametrize("classes", [2, 3])
def test_every_value_lies_inside_an_interval_of_some_width(classes):
    found = measured(classes).values()
    with_interval = {metric.name for metric in found if metric.low is not None}
    assert all(metric.low < metric.value < metric.high for metric in found if metric.name in with_interval)
    assert {metric.name for metric in found} - with_interval == {"ece", "ece_calibrated"}


def test_only_two_classes_have_an_auroc():
    assert "auroc" in measured(2)
    assert "auroc" not in measured(3)


def test_each_value_is_that_of_its_own_metric():
    test = predicted(300, 2, seed=2)
    chosen = test.values.argmax(axis=1)
    found = {name: metric.value for name, metric in measured(2).items()}
    scores = np.exp(log_probabilities(test.values))
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(test.labels, chosen))
    assert found["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(test.labels, chosen, average="macro"))
    assert found["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(test.labels, chosen))
    assert found["auroc"] == pytest.approx(
        sklearn_metrics.roc_auc_score(test.labels, test.values[:, 1] - test.values[:, 0])
    )
    assert found["log_loss"] == pytest.approx(sklearn_metrics.log_loss(test.labels, scores))


def test_the_temperature_is_fitted_on_the_validation_rows_alone():
    validation, test = predicted(4000, 3, seed=1), predicted(4000, 3, seed=2)
    colder = predictions(test.values * 5, test.labels)
    found = [
        evaluate_rows(validation=validation, test=rows, labels=["a", "b", "c"], bootstrap=BOOTSTRAP).temperature
        for rows in (test, colder)
    ]
    assert found[0] == found[1] == pytest.approx(3, rel=0.1)


def test_the_temperature_lowers_the_log_loss_and_the_calibration_error_of_the_test_rows():
    found = {name: metric.value for name, metric in measured(3, rows=4000).items()}
    assert found["log_loss_calibrated"] < 0.9 * found["log_loss"]
    assert found["ece_calibrated"] < 0.3 * found["ece"]


def test_a_test_split_of_one_class_is_measured_without_auroc():
    test = predictions(predicted(50, 2, seed=3).values, np.zeros(50, dtype=np.int64))
    found = evaluate_rows(validation=predicted(50, 2, seed=4), test=test, labels=["bad", "good"], bootstrap=BOOTSTRAP)
    assert "auroc" not in {metric.name for metric in found.metrics}
    assert (found.classes["bad"].support, found.classes["good"].support) == (50, 0)
    assert found.confusion.sum(axis=1).tolist() == [50, 0]


def test_the_gain_is_the_difference_of_the_two_accuracies():
    test = predicted(400, 3, seed=5)
    baseline = np.zeros(400, dtype=np.int64)
    labels = ["a", "b", "c"]
    simpler = row_accuracy(test, baseline, labels, BOOTSTRAP)
    better = row_accuracy_gain(test, baseline, labels, BOOTSTRAP)
    assert simpler.value == pytest.approx((test.labels == 0).mean())
    assert better.value == pytest.approx((test.predicted == test.labels).mean() - simpler.value)
    assert better.low < better.value < better.high
