"""Sums over golden rows of a number of both revisions: all that a comparator keeps of numbers that are not 0 or 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_api.contract import comparison


@dataclass(frozen=True, kw_only=True)
class PairedSums:
    """Sums over rows of a number of the canary and of stable, of squares and of products; a number is in [−1, 1]."""

    rows: int
    canary: float
    stable: float
    canary_squared: float
    stable_squared: float
    product: float

    @classmethod
    def of(cls, numbers: Iterable[tuple[float, float]]) -> PairedSums:
        """Return the sums over (number of the canary, number of stable)."""
        pairs = list(numbers)
        return cls(
            rows=len(pairs),
            canary=math.fsum(c for c, _ in pairs),
            stable=math.fsum(s for _, s in pairs),
            canary_squared=math.fsum(c * c for c, _ in pairs),
            stable_squared=math.fsum(s * s for _, s in pairs),
            product=math.fsum(c * s for c, s in pairs),
        )

    @classmethod
    def counted(cls, sums: comparison.PairedSums) -> PairedSums:
        """Return the sums that a comparator has counted."""
        return cls(**sums.model_dump())

    @property
    def are_finite(self) -> bool:
        """Whether all sums are numbers."""
        return all(
            map(math.isfinite, (self.canary, self.stable, self.canary_squared, self.stable_squared, self.product))
        )
