"""What a strategy is: the steps on its way from the first server of a canary to its promotion. The way itself is the same for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.decide.model_deployment.rollout.facts import RolloutSpec


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stretch of a roll-out, and what must hold before the next one."""

    weight: int
    """Percentage of requests that the canary gets, 0 to 100."""
    servers: int
    """Percentage of all servers that the canary needs."""
    shadow: int = 0
    """Percentage of requests that are copied to the comparator."""
    min_duration: float = 0.0
    """Seconds, from when the split is in force on every router."""
    min_requests: int = 0
    pause: bool = False


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A strategy."""

    steps: Callable[[RolloutSpec], tuple[Step, ...]]
    """Return the steps before the promotion: one at least, so that nothing is ever promoted before its servers were ready."""
