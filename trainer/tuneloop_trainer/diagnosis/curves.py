"""The curves of a run, read from its training log: the input of every finding."""

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
"""Steps whose losses are averaged, since the loss of one batch is noise."""
FEWEST_STEPS = 2 * SPAN_STEPS
"""Steps before which no finding about the loss is made."""
NEARLY_OVER = 0.9
"""Part of all planned steps after which a run should have learned something."""
STUCK = 0.9
"""A loss above this part of the class prior entropy, or of the first loss, means that hardly anything was learned."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What the findings need to know of a run besides its curves."""

    total_steps: int
    steps_per_epoch: int
    peak_rate: float
    """Highest learning rate."""
    planned_path: float
    """Sum of the learning rates of all planned steps."""
    class_prior_entropy: float
    """Loss of a model that knows how often each class occurs and nothing else, in nats."""
    validation_targets: int
    """Targets of the validation split: rows, or words."""
    epsilon: float
    """Epsilon of AdamW."""
    trained_numbers: int
    """Elements of all trained parameters."""
    method: Method


def _numbers() -> array[float]:
    return array("d")


@dataclass
class Curves:
    """The numbers of every step and every evaluation of a run, over all its attempts."""

    losses: array[float] = field(default_factory=_numbers)
    """Mean loss of each step's global batch, with dropout and label smoothing as trained."""
    grad_norms: array[float] = field(default_factory=_numbers)
    """L2 norm of the gradient before clipping."""
    seconds: array[float] = field(default_factory=_numbers)
    input_seconds: array[float] = field(default_factory=_numbers)
    """Part of `seconds` in which rank 0 made batches."""
    evaluated_steps: list[int] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line of the training log."""
        if line["kind"] == "step":
            self.losses.append(line["loss"])
            self.grad_norms.append(line["grad_norm"])
            self.seconds.append(line["seconds"])
            self.input_seconds.append(line.get("input_seconds", 0.0))
        elif line["kind"] == "evaluation":
            self.evaluated_steps.append(line["step"])
            self.validation_losses.append(line["loss"])
            self.validation_accuracies.append(line.get("accuracy", 0.0))  # numbers have none: the loss alone decides

    @property
    def steps(self) -> int:
        """Steps made."""
        return len(self.losses)

    def span_means(self) -> Float64s:
        """Return the moving average of the loss over `SPAN_STEPS` steps, oldest first; empty before so many steps."""
        if self.steps < SPAN_STEPS:
            return np.zeros(0)
        sums = np.cumsum([0.0, *self.losses])
        means: Float64s = (sums[SPAN_STEPS:] - sums[:-SPAN_STEPS]) / SPAN_STEPS
        return means


def learned_nothing(curves: Curves, context: RunContext, *, over: bool) -> bool:
    """Tell whether a run that is nearly over knows hardly more than how often each class occurs. over: the run ends here.

    Earlier the answer is no: a run may make no progress for long, and begin to learn when the learning rate comes down.
    """
    if curves.steps < FEWEST_STEPS or not (over or curves.steps >= NEARLY_OVER * context.total_steps):
        return False
    return bool(curves.span_means()[-1] >= STUCK * context.class_prior_entropy)


@dataclass(frozen=True)
class DeadTensors:
    """The trained matrices that no gradient reaches."""

    names: tuple[str, ...]
    """Names of the dead matrices."""
    matrices: int
    """Number of all trained matrices."""
