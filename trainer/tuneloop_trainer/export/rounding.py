"""How far two computations of the same logits may lie apart by rounding alone.

The unit is the epsilon of the number format: the step from 1 to the next number, 2^-23 in fp32 and 2^-7 in bf16. Each layer rounds its results
to this share of their size, so the error of a logit grows with the size of the logits. An absolute bound would refuse sound models with large
logits. The errors of layers are as good as random, and grow with the square root of their number.

In bf16, models of 2, 24 and 60 layers lie 1, 2 and 5 epsilons from fp32 (root mean square, in shares of the size of the logits), and 15 at
most. The bounds leave 3 to 4 times as much. Products are summed in fp32, in an order that depends on the device, over some thousand terms: hence more
epsilons in fp32.

The largest difference also bounds what a reader sees. The predicted class can differ only where two logits are nearer than twice that
difference: nearly a tie. A log probability differs by no more than twice that difference. `docs/decisions/0021` has the measurements.

Shapes: M = targets, C = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_api.contract.results import Precision

EPSILON: dict[Precision, float] = {"fp32": 2.0**-23, "bf16": 2.0**-7}
EPSILONS: dict[Precision, int] = {"fp32": 1024, "bf16": 64}
"""Epsilons by which a single logit may differ."""
TYPICAL = 0.25
"""The root mean square of all differences may be this share of what a single logit may differ by: rounding hits all logits alike."""
SMALLEST = 1 / 16
"""Size of the logits below which the bounds shrink no further: such logits are what is left of larger terms, and say nearly nothing."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How far logits lie from expected logits, and how far rounding can bring them."""

    by_target: NDArray[np.float32]
    """[M] the largest difference of a logit of each target."""
    typical: float
    """Root mean square of the differences of all logits."""
    allowed: float
    """The most that a single logit may differ by."""

    @property
    def largest(self) -> float:
        """The largest difference of a logit; not a number if any is not."""
        return float(self.by_target.max(initial=0.0))

    @property
    def is_rounding(self) -> bool:
        """Whether rounding explains the differences. False if any is not a number."""
        return self.largest <= self.allowed and self.typical <= self.allowed * TYPICAL


def compare(found: NDArray[np.float32], expected: NDArray[np.float32], *, precision: Precision) -> Differences:
    """Compare logits [M, C] with expected logits [M, C]. precision: the coarser format of the two computations."""
    differences = np.abs(found - expected)
    return Differences(
        by_target=differences.max(axis=1, initial=0.0),
        typical=_root_mean_square(differences),
        allowed=share_allowed(precision) * max(SMALLEST, _root_mean_square(expected)),
    )


def share_allowed(precision: Precision) -> float:
    """Return the most that a single logit may differ by, as a share of the logits' root mean square."""
    return EPSILONS[precision] * EPSILON[precision]


def _root_mean_square(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
