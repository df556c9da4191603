from __future__ import annotations

import numpy as np
import pytest

from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.measure import gain, measure, rung
from tuneloop_trainer.evaluation.predictions import Predictions

BOOTSTRAP = Bootstrap(resamples=200)


def predicted(rows: int, classes: int, *, seed: int) -> Predictions:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)).astype(np.float32)
    labels = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return Predictions(logits=logits * 3, labels=labels, rows=np.arange(rows))


@pytest.mark.parametrize(("classes", "has_auroc"), [(2, True), (3, False)])
def test_every_value_lies_within_its_interval(classes, has_auroc):
    found = measure(
        validation=predicted(300, classes, seed=1), test=predicted(300, classes, seed=2), bootstrap=BOOTSTRAP
    )
    assert any(each.name == "auroc" for each in found.metrics) == has_auroc
    assert all(each.low <= each.value <= each.high for each in found.metrics if each.low is not None)
    assert found.confusion.sum() == 300


def test_the_temperature_comes_from_the_validation_rows_and_improves_the_test_rows():
    validation, test = predicted(4000, 3, seed=1), predicted(4000, 3, seed=2)
    found = measure(validation=validation, test=test, bootstrap=BOOTSTRAP)
    values = {each.name: each.value for each in found.metrics}
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert values["log_loss_calibrated"] < values["log_loss"]
    assert values["ece_calibrated"] < values["ece"]


def test_a_test_split_of_one_class_is_measured_without_auroc():
    test = predicted(50, 2, seed=3)
    test = Predictions(logits=test.logits, labels=np.zeros(50, dtype=np.int64), rows=test.rows)
    found = measure(validation=predicted(50, 2, seed=4), test=test, bootstrap=BOOTSTRAP)
    assert "auroc" not in {each.name for each in found.metrics}
    assert found.classes[1].support == 0


def test_a_rung_and_the_gain_over_it_agree():
    test = predicted(400, 3, seed=5)
    baseline = np.zeros(400, dtype=np.int64)
    simpler = rung("majority", baseline, test.labels, bootstrap=BOOTSTRAP)
    better = gain(test, baseline, bootstrap=BOOTSTRAP)
    right = (test.logits.argmax(axis=1) == test.labels).mean()
    assert better.value == pytest.approx(right - simpler.value)
    assert better.low < better.value < better.high
