"""How many servers each revision is to have, who owns that number, and which revisions are deleted.

Servers come before requests, and go after them: what is wanted depends on the splits that routers may follow, not on the one that is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.facts import Capacity, count_of, ready_of, target_of
from tuneloop_operator.decide.model_deployment.rollout.in_force import may_carry, weights_in_force
from tuneloop_operator.decide.model_deployment.rollout.state import Phase
from tuneloop_operator.decide.model_deployment.rollout.strategies import goal_of

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.rollout.facts import Facts, RolloutSpec
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout


@dataclass(frozen=True, kw_only=True)
class Servers:
    """How many servers each revision is to have."""

    counts: tuple[tuple[str, int | None], ...]
    """Revision and number; None: the autoscaler owns the number, and it is not written."""
    autoscaled: str = ""
    """The revision at whose Deployment the autoscaler aims; empty: there is no autoscaler."""
    floor: int = 0
    """The least that the autoscaler may set. In a roll-out it is what stable has now: requests that leave it may come back at once."""


def servers(rollout: Rollout, facts: Facts, *, now: datetime) -> Servers:
    """Return how many servers each revision is to have now."""
    full = full_count(rollout, facts)
    names = dict.fromkeys([*facts.revisions, *([rollout.canary] if rollout.canary else [])])
    counts: dict[str, int | None] = {
        name: _count_beside_stable(rollout, facts, name, now=now) if full else 0
        for name in names
        if name != rollout.stable
    }
    counts[rollout.stable] = _count_of_stable(rollout, facts, counts)
    scaling = facts.spec.autoscaling
    if scaling is None:
        return Servers(counts=tuple(counts.items()))
    counts[rollout.stable] = None
    floor = full if rollout.canary else scaling.minimum
    return Servers(counts=tuple(counts.items()), autoscaled=rollout.stable, floor=floor)


def full_count(rollout: Rollout, facts: Facts) -> int:
    """Return the number of servers that carry all requests."""
    scaling = facts.spec.autoscaling
    if scaling is None:
        return facts.spec.replicas
    return min(max(scaling.minimum, count_of(facts, rollout.stable)), scaling.maximum)


def servers_for(rollout: Rollout, facts: Facts) -> int:
    """Return how many servers the canary needs before it may get the weight that it is to have; one at least."""
    goal, full = goal_of(rollout, facts.spec), full_count(rollout, facts)
    if not _is_replacing(facts.spec):
        return max(1, _share(full, goal.servers))
    return max(1, min(_share(full, goal.weight), full - 1))  # the last server of stable stays until it gets no request


def affordable_weight(rollout: Rollout, facts: Facts) -> int | None:
    """Return the weight that the ready servers of the canary can carry on the way to the goal; None: they carry no more than now.

    With `Replace`, requests go over in as many parts as there are servers, since stable has given up a server for each of the canary's.
    """
    goal, full = goal_of(rollout, facts.spec), full_count(rollout, facts)
    ready = ready_of(facts, rollout.canary)
    # a canary that somebody wants, beside a stable that answers nothing: the first server is better than none
    enough = 1 if rollout.is_forced and not ready_of(facts, rollout.stable) else servers_for(rollout, facts)
    if ready >= enough:
        return goal.weight
    if not _is_replacing(facts.spec) or ready == 0:
        return None
    affordable = min(goal.weight, 100 * ready // full)
    return affordable if affordable > rollout.split.weight_of(rollout.canary) else None


def revisions_to_delete(rollout: Rollout, facts: Facts, *, now: datetime) -> tuple[str, ...]:
    """Return the revisions beyond the history limit, oldest first. One that takes part or may get requests is never among them."""
    kept = {rollout.stable, rollout.canary, target_of(rollout, facts)}
    if is_in_window(rollout, facts.spec, now=now):
        kept.add(rollout.previous)
    free = [name for name in facts.revisions if name not in kept and not may_carry(rollout, facts, name)]
    return tuple(free[: max(0, len(free) - facts.spec.history_limit)])


def is_in_window(rollout: Rollout, spec: RolloutSpec, *, now: datetime) -> bool:
    """Whether a roll-back may use the revision before stable."""
    if not rollout.previous or rollout.promoted is None:
        return False
    return (now - rollout.promoted).total_seconds() < spec.window


def _count_beside_stable(rollout: Rollout, facts: Facts, revision: str, *, now: datetime) -> int:
    if revision == rollout.canary and rollout.phase is not Phase.ROLLING_BACK:
        return _count_of_canary(rollout, facts)
    is_kept = revision == rollout.previous and is_in_window(rollout, facts.spec, now=now)
    kept = min(facts.spec.keep_replicas, full_count(rollout, facts)) if is_kept else 0
    return max(kept, count_of(facts, revision)) if may_carry(rollout, facts, revision) else kept


def _count_of_stable(rollout: Rollout, facts: Facts, others: dict[str, int | None]) -> int:
    full = full_count(rollout, facts)
    if full == 0 or not _is_replacing(facts.spec):
        return full
    taken = sum(
        count or 0 for name, count in others.items() if name == rollout.canary or may_carry(rollout, facts, name)
    )
    return max(1, full - taken)


def _count_of_canary(rollout: Rollout, facts: Facts) -> int:
    full, goal = full_count(rollout, facts), servers_for(rollout, facts)
    least, most = weights_in_force(rollout, facts, rollout.canary)
    if _is_replacing(facts.spec):
        # a canary whose weight goes down keeps the servers of the weight that some router may still give it
        kept = min(count_of(facts, rollout.canary), _share(full, most), max(1, full - 1))
        return max(1, min(goal, _share(full, least) + 1), kept)
    return max(goal, _share(full, most))


def _is_replacing(spec: RolloutSpec) -> bool:
    """An autoscaler would fight for the number of stable's servers: with one, new servers come beside."""
    return spec.capacity is Capacity.REPLACE and spec.autoscaling is None


def _share(count: int, percent: int) -> int:
    """Return the servers that carry a percentage of what so many carry, rounded up."""
    return -(-count * percent // 100)
