"""Projects the vectors of a pass onto the directions of an artifact. Shapes: B = windows, H = size of the hidden state, k = directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_server.model import Projected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_server.model import Logits


@dataclass(frozen=True, kw_only=True)
class Directions:
    """What vectors are multiplied by."""

    columns: NDArray[np.float64]
    """[H, k]."""

    @staticmethod
    def of(directions: Sequence[Sequence[float]]) -> Directions:
        """directions: [k, H]."""
        return Directions(columns=np.array(directions, dtype=np.float64).T)

    def refusal(self, size: int) -> str:
        """Return why vectors of a size cannot be projected; empty if they can."""
        expected = len(self.columns)
        return "" if size == expected else no_vectors(f"its hidden state has {size} numbers, the directions {expected}")

    def projected(self, logits: Sequence[Logits], vectors: NDArray[np.float32]) -> list[Projected]:
        """Return the logits of each window with its projections. vectors: [B, H]."""
        return list(map(Projected, logits, (vectors.astype(np.float64) @ self.columns).tolist()))


def no_vectors(reason: str) -> str:
    """Return why a model does not project."""
    return f"projections are not counted: {reason}"
