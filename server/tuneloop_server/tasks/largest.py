"""The largest of many numbers, without sorting all of them: answers are made between two requests, and nothing else is answered meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def largest(values: NDArray[np.floating[Any]], most: int) -> NDArray[np.intp]:
    """Return the places of the largest numbers, the largest first, and of equal ones the earlier. values: [n], no NaN. most: at least 1."""
    places = np.arange(len(values))
    if most < len(values):
        places = np.flatnonzero(values >= np.partition(values, -most)[-most])
    return places[np.argsort(-values[places], kind="stable")[:most]]
