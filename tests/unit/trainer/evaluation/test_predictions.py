"""The file of predictions that training hands on to export."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tuneloop_trainer.evaluation import baselines, calibration, intervals
from tuneloop_trainer.evaluation.measure import Measured, measured
from tuneloop_trainer.evaluation.predictions import Predictions, read_predictions


@pytest.fixture
def predictions() -> Predictions:
    return Predictions(
        values=np.array([[1, 2], [4, 3], [0, 5]], dtype=np.float32),
        labels=np.array([1, 1, 0]),
        rows=np.array([7, 9]),
        offsets=np.array([0, 2, 3]),
    )


def test_what_is_written_is_read(tmp_path, predictions):
    path = tmp_path / "predictions" / "test.safetensors"
    predictions.write(path, dataset="digest")
    assert [file.name for file in path.parent.iterdir()] == ["test.safetensors"]
    predictions.write(path, dataset="digest")
    found = read_predictions(path)
    for name in ("values", "labels", "rows", "offsets"):
        np.testing.assert_array_equal(getattr(found, name), getattr(predictions, name))
    assert found.predicted.tolist() == [1, 0, 1]
    assert found.row_of_target.tolist() == [0, 0, 1]
    assert set(load_file(path)) == {"logits", "labels", "rows", "offsets"}


def test_a_file_of_release_0_1_0_has_one_target_a_row(tmp_path):
    tensors = {"logits": np.zeros((2, 3), dtype=np.float32), "labels": np.array([1, 2]), "rows": np.array([4, 6])}
    save_file(tensors, tmp_path / "test.safetensors")
    assert read_predictions(tmp_path / "test.safetensors").offsets.tolist() == [0, 1, 2]


def test_a_metric_keeps_value_and_interval_apart():
    interval = intervals.Interval(value=0.5, low=0.25, high=0.75)
    assert measured("accuracy", interval) == Measured(name="accuracy", value=0.5, low=0.25, high=0.75)


def test_the_numbers_of_a_result_are_comparable_between_releases():
    assert intervals.TAILS == (2.5, 97.5)
    assert (calibration.BINS, calibration.COLDEST, calibration.HOTTEST) == (15, 0.05, 20.0)
    assert baselines.SVM_STRENGTHS == (0.1, 0.5, 2.0, 8.0)
    assert baselines.BAYES_SMOOTHINGS == (0.1, 0.3, 1.0, 3.0)
    assert (baselines.MAX_ROWS, baselines.MAX_FEATURES, baselines.BUCKETS) == (100_000, 300_000, 4_194_304)
    assert [baselines.cut_length(rows) for rows in (0, 6_000, 12_000, 10**9)] == [20_000, 20_000, 10_000, 1_000]
