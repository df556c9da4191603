"""When a comparator is asked for another replay of the golden set. Pure, with the time passed in.

A number of replays since the process began is wanted, so to ask twice does no harm, and after a restart of the operator or of the comparator the same rule goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from tuneloop_api.contract.comparison import ComparisonCounts
    from tuneloop_operator.comparators.turns import DeploymentKey

_MOST_TIMES = 100
"""A comparator takes no more."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 5.0, 300.0


@dataclass(frozen=True, kw_only=True)
class _Failures:
    """Replays that ended early one after another."""

    process: str
    """When the comparator began."""
    completed: int
    """Its complete replays."""
    tries: int = 0
    """How often it was asked again."""
    again_at: float


class Replays:
    """What each comparator was asked for after a replay that ended early."""

    def __init__(self) -> None:
        self._failures: dict[DeploymentKey, _Failures] = {}

    def wanted(self, key: DeploymentKey, counts: ComparisonCounts, *, asks: bool, now: float) -> int | None:
        """Return the number of replays to ask for now; None: none. asks: whether the roll-out wants golden requests beside the live ones."""
        golden = counts.golden
        if golden is None or golden.problem is not None:
            return None
        if golden.wanted > golden.completed or golden.completed >= _MOST_TIMES:
            return None
        if golden.failure is None:
            self._failures.pop(key, None)
            return golden.completed + 1 if asks else None
        is_due = self._is_due(key, process=counts.started_at, completed=golden.completed, now=now)
        return golden.completed + 1 if is_due else None

    def _is_due(self, key: DeploymentKey, *, process: str, completed: int, now: float) -> bool:
        """Whether to ask again after a replay that ended early. The waits double."""
        known = self._failures.get(key)
        if known is None or (known.process, known.completed) != (process, completed):
            self._failures[key] = _Failures(process=process, completed=completed, again_at=now + _FIRST_WAIT_SECONDS)
            return False
        if now < known.again_at:
            return False
        tries = known.tries + 1
        wait = min(_FIRST_WAIT_SECONDS * 2.0 ** min(tries, 16), _LONGEST_WAIT_SECONDS)
        self._failures[key] = replace(known, tries=tries, again_at=now + wait)
        return True

    def keep(self, keys: Collection[DeploymentKey]) -> None:
        """Forget all comparators but these."""
        self._failures = {key: failures for key, failures in self._failures.items() if key in keys}
