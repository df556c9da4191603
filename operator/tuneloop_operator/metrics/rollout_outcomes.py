"""How roll-outs ended: counted from one stored status of a deployment to the next, since this process began.

A status remembers the roll-out that is on its way, and not how many there were. So the counters begin at 0 with each process, which `rate` and
`increase` allow for. The counters of a deployment end with it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_operator.cluster import Manifest

RolloutOutcome: TypeAlias = Literal["Promoted", "Reverted", "RolledBack", "Aborted", "Superseded"]
OUTCOMES: tuple[RolloutOutcome, ...] = get_args(RolloutOutcome)
_MEASURED = tuple(outcome for outcome in OUTCOMES if outcome != "Superseded")
"""No status says when another revision took the place of a canary."""
EDGES = (60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 259_200)
"""Seconds: 1 minute to 3 days."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of one roll-out."""

    outcome: RolloutOutcome
    seconds: float | None = None
    """From the start of the canary's servers; of Reverted from the promotion. None: not known."""


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long roll-outs took that ended in the same way."""

    sum: float
    """Seconds."""
    counts: tuple[float, ...]
    """Roll-outs up to each of `EDGES` and above the edge before; the last above all."""


def ended(before: Mapping[str, Any], after: Mapping[str, Any]) -> Ended | None:
    """Return how the roll-out ended that was on its way, None if none ended. before, after: `status.rollout` of one deployment."""
    canary = before.get("canary")
    if not canary:
        return None
    if before.get("phase") == "Reverting":
        return _reverted(before, after)
    if after.get("stable") == canary:
        return Ended(outcome="Promoted", seconds=_seconds(before.get("startedAt"), after.get("promotedAt")))
    return None if after.get("canary") == canary else _taken_back(before, after)


def _reverted(before: Mapping[str, Any], after: Mapping[str, Any]) -> Ended | None:
    if after.get("stable") != before["canary"]:
        return None  # it goes on, or could not be done
    rejection = _rejection(after, before["stable"])
    return Ended(outcome="Reverted", seconds=_seconds(before.get("promotedAt"), rejection.get("time")))


def _taken_back(before: Mapping[str, Any], after: Mapping[str, Any]) -> Ended:
    rejection = _rejection(after, before["canary"])
    if not rejection:
        return Ended(outcome="Superseded")
    outcome: RolloutOutcome = "Aborted" if rejection["reason"] == "Aborted" else "RolledBack"
    return Ended(outcome=outcome, seconds=_seconds(before.get("startedAt"), rejection["time"]))


class RolloutOutcomes:
    """The counters of all deployments."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Counter[RolloutOutcome]] = {}
        self._seconds: dict[RolloutOutcome, list[float]] = {}
        """Sum, then the number in each bucket, the last without an edge."""

    def changed(self, known: Manifest, manifest: Manifest) -> None:
        """Count what ended between two versions of an object. Another object of its name is no version of it."""
        if known["metadata"].get("uid") != manifest["metadata"].get("uid"):
            return
        before, after = (((found.get("status") or {}).get("rollout") or {}) for found in (known, manifest))
        if before and after and (end := ended(before, after)) is not None:
            self._by_uid.setdefault(manifest["metadata"]["uid"], Counter())[end.outcome] += 1
            if end.seconds is not None:
                self._observe(end.outcome, end.seconds)

    def forget(self, uid: str) -> None:
        """Forget a deployment that is gone."""
        self._by_uid.pop(uid, None)

    def of(self, uid: str) -> dict[RolloutOutcome, int]:
        """Return how many roll-outs of a deployment ended in each way."""
        counted: Mapping[RolloutOutcome, int] = self._by_uid.get(uid) or Counter()
        return {outcome: counted[outcome] for outcome in OUTCOMES}

    def durations(self) -> dict[RolloutOutcome, Durations]:
        """Return how long the roll-outs of all deployments took."""
        none = [0.0] * (len(EDGES) + 2)
        measured = {outcome: self._seconds.get(outcome, none) for outcome in _MEASURED}
        return {outcome: Durations(sum=sum_, counts=tuple(counts)) for outcome, (sum_, *counts) in measured.items()}

    def _observe(self, outcome: RolloutOutcome, seconds: float) -> None:
        measured = self._seconds.setdefault(outcome, [0.0] * (len(EDGES) + 2))
        measured[0] += seconds
        measured[1 + sum(seconds > edge for edge in EDGES)] += 1


def _rejection(rollout: Mapping[str, Any], revision: str) -> Mapping[str, Any]:
    """Return why and when a revision was rejected; empty if it was not."""
    return next((found for found in rollout.get("rejected") or () if found["revision"] == revision), {})


def _seconds(began: str | None, end: str | None) -> float | None:
    if began is None or end is None:
        return None
    return max((datetime.fromisoformat(end) - datetime.fromisoformat(began)).total_seconds(), 0.0)
