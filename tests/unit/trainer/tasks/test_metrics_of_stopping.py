"""Early stopping and the choice of the best checkpoint may name each metric that a task measures in training, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuneloop_api.v1alpha1.fine_tune_job.training import PROBLEMS_OF_METRIC, TASK_OF_METRIC, MetricName
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.tasks import TASKS

ROWS = 4
OFFSETS = np.arange(ROWS + 1)
MEASURED: dict[str, tuple[Any, Any, list[str]]] = {
    "text-classification": (np.eye(2)[[0, 1, 1, 0]], np.array([0, 1, 0, 1]), ["a", "b"]),
    "text-classification/multi-label": (np.eye(2)[[0, 1, 1, 0]] - 0.5, np.array([[1, 0], [1, 1], [0, 1], [0, 0]]), ["a", "b"]),
    "token-classification": (np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 1]), ["B-X", "I-X", "O"]),
}  # fmt: skip
"""By task: values of four targets, their truth, and the labels. Numbers are measured by a task with a scale (tests/unit/trainer/train/test_metrics_of_numbers.py)."""


def allowed(task: str) -> set[str]:
    """Return the metrics that a spec may name for a task."""
    hub_id, _, problem = task.partition("/")
    names = {name for name in MetricName.__args__ if TASK_OF_METRIC.get(name, hub_id) == hub_id}
    if hub_id != "text-classification":
        return names
    return {
        name
        for name in names
        if (problem or "single-label") in PROBLEMS_OF_METRIC.get(name, (problem or "single-label",))
    }


@pytest.mark.parametrize("task", MEASURED)
def test_what_is_measured_in_training_may_be_watched(task: str) -> None:
    values, truth, labels = MEASURED[task]
    predictions = Predictions(values=values.astype(np.float32), labels=truth, rows=np.arange(ROWS), offsets=OFFSETS)
    assert allowed(task) == set(TASKS[task].metrics(predictions, labels))
