"""What a run has shown of itself so far, as the training log tells it: the curves that every finding is made from."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from tuneloop_trainer.methods.method import Method

    Float64s = NDArray[np.float64]

SPAN_STEPS = 20
"""Steps whose losses are averaged: the loss of one batch says little."""
FEWEST_STEPS = 2 * SPAN_STEPS
"""Of a run that says something of itself."""
NEARLY_OVER = 0.9
"""Part of all steps after which a run is measured by what it has learned."""
STUCK = 0.9
"""Above this part of what guessing costs, or of what the run began with, hardly anything was learned."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a run before its first step."""

    total_steps: int
    steps_per_epoch: int
    peak_rate: float
    """Highest learning rate."""
    planned_path: float
    """Sum of the learning rates of all planned steps."""
    class_prior_entropy: float
    """Loss of a model that knows how often each class occurs and nothing else."""
    validation_targets: int
    """Targets of the validation split: rows, or words."""
    epsilon: float
    """Of AdamW."""
    trained_numbers: int
    """Elements of all trained parameters."""
    method: Method


def _numbers() -> array[float]:
    return array("d")


@dataclass
class Curves:
    """The course of a run, step by step and evaluation by evaluation, over all its attempts."""

    losses: array[float] = field(default_factory=_numbers)
    """Mean loss of each step's global batch, with dropout and label smoothing as trained."""
    grad_norms: array[float] = field(default_factory=_numbers)
    """Before clipping."""
    seconds: array[float] = field(default_factory=_numbers)
    input_seconds: array[float] = field(default_factory=_numbers)
    """Part of `seconds` in which rank 0 made batches."""
    evaluated_steps: list[int] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in a line of the training log."""
        if line["kind"] == "step":
            self.losses.append(line["loss"])
            self.grad_norms.append(line["grad_norm"])
            self.seconds.append(line["seconds"])
            self.input_seconds.append(line.get("input_seconds", 0.0))
        elif line["kind"] == "evaluation":
            self.evaluated_steps.append(line["step"])
            self.validation_losses.append(line["loss"])
            self.validation_accuracies.append(line["accuracy"])

    @property
    def steps(self) -> int:
        """Steps made."""
        return len(self.losses)

    def span_means(self) -> Float64s:
        """Return the mean loss of every `SPAN_STEPS` steps in a row, oldest first; empty before so many steps."""
        if self.steps < SPAN_STEPS:
            return np.zeros(0)
        sums = np.cumsum([0.0, *self.losses])
        means: Float64s = (sums[SPAN_STEPS:] - sums[:-SPAN_STEPS]) / SPAN_STEPS
        return means


def learned_nothing(curves: Curves, facts: Facts, *, over: bool) -> bool:
    """Tell whether a run that is nearly over knows hardly more than how often each class occurs. `over`: it ends here.

    Nothing is said before: a run may stand still for long and begin to learn when the learning rate comes down.
    """
    if curves.steps < FEWEST_STEPS or not (over or curves.steps >= NEARLY_OVER * facts.total_steps):
        return False
    return bool(curves.span_means()[-1] >= STUCK * facts.class_prior_entropy)


@dataclass(frozen=True)
class DeadTensors:
    """Trained matrices that no gradient reaches."""

    names: tuple[str, ...]
    """Those that are dead."""
    matrices: int
    """All that are trained."""
