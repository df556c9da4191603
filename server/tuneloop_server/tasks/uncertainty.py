"""How unsure a model is of a prediction, as the metrics count it. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def entropy_ratio(probabilities: Sequence[float]) -> float:
    """Return the entropy of a distribution, as a part of the largest that it can have: 0 is sure, 1 is no idea. [K] → 0 to 1; 0 for one label."""
    if len(probabilities) < 2:
        return 0.0
    entropy = -math.fsum(p * math.log(p) for p in probabilities if p > 0.0)
    return min(max(entropy / math.log(len(probabilities)), 0.0), 1.0)
