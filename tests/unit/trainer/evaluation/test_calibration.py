from __future__ import annotations

import numpy as np
import pytest

from tuneloop_trainer.evaluation.calibration import expected_calibration_error, fit_temperature
from tuneloop_trainer.evaluation.metrics import log_losses, log_probabilities


def calibrated_rows(rows: int, classes: int, *, seed: int = 0):
    """Logits and labels that are drawn from the very probabilities of the logits."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 2
    noise = generator.gumbel(size=(rows, classes))
    return logits, (logits + noise).argmax(axis=1)


@pytest.mark.parametrize("classes", [2, 5, 20])
@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found_again(classes, true):
    logits, labels = calibrated_rows(40_000, classes)
    assert fit_temperature(logits * true, labels) == pytest.approx(true, rel=0.03)


def test_no_other_temperature_has_less_log_loss():
    logits, labels = calibrated_rows(500, 3, seed=4)
    best = fit_temperature(logits * 3, labels)
    losses = [log_losses(logits * 3 / (best * factor), labels).mean() for factor in (0.95, 0.999, 1, 1.001, 1.05)]
    assert min(losses) == losses[2]


def test_rows_that_are_all_right_say_nothing_of_the_temperature():
    assert fit_temperature(np.array([[3.0, 1.0], [0.0, 9.0]]), np.array([0, 1])) == 1.0


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        pytest.param([[9.0, 0.0], [0.0, 9.0], [9.0, 0.0]], 20.0, id="worse than chance: as hot as allowed"),
        pytest.param([[0.0, 1e-3], [1e-3, 0.0], [1e-3, 1.1e-3]], 0.05, id="nearly no margin: as cold as allowed"),
    ],
)
def test_the_temperature_stays_within_its_bounds(logits, expected):
    labels = np.array([1, 0, 1]) if expected == 20.0 else np.array([1, 0, 0])
    assert fit_temperature(np.array(logits), labels) == pytest.approx(expected, rel=1e-4)


def test_calibrated_rows_have_nearly_no_calibration_error():
    logits, labels = calibrated_rows(40_000, 4)
    assert expected_calibration_error(logits, labels) < 0.01


def test_the_fitted_temperature_lowers_the_error_of_overconfident_rows():
    logits, labels = calibrated_rows(5000, 3)
    before = expected_calibration_error(logits * 4, labels)
    after = expected_calibration_error(logits * 4, labels, temperature=fit_temperature(logits * 4, labels))
    assert before > 0.1
    assert after < 0.03


def test_rows_of_one_confidence_share_a_bin_whatever_their_order():
    logits = np.tile([[0.0, 0.0]], (100, 1))
    labels = np.r_[np.zeros(70, dtype=np.int64), np.ones(30, dtype=np.int64)]
    assert expected_calibration_error(logits, labels) == pytest.approx(0.2)
    assert expected_calibration_error(logits, labels[::-1]) == pytest.approx(0.2)


def test_bins_hold_equal_masses():
    """Fifteen runs of a hundred rows each, in turn all right and all wrong: any other cut mixes right rows with wrong ones."""
    logits = np.c_[np.linspace(0.1, 4, 1500), np.zeros(1500)]
    right = np.arange(1500) // 100 % 2 == 0
    order = np.random.default_rng(0).permutation(1500)
    confidences = np.exp(log_probabilities(logits).max(axis=1))
    means = confidences.reshape(15, 100).mean(axis=1)
    expected = np.abs(means - right.reshape(15, 100).mean(axis=1)).mean()
    labels = np.where(right, 0, 1)
    assert expected_calibration_error(logits[order], labels[order]) == pytest.approx(expected, abs=1e-9)
