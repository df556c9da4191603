"""Which splits the routers follow. A split that is wanted is not yet one that is followed: routers take it by themselves, or die before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.state import Split, updated

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.facts import Facts
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout, Router

_MOST_EARLIER = 8
"""Splits that are remembered beside the wanted one. What follows an older one may send requests to any revision."""


def is_in_force(rollout: Rollout, facts: Facts) -> bool:
    """Whether there is a router, and every router follows the split that is wanted."""
    return bool(facts.routers) and all(router.generation == rollout.split.generation for router in facts.routers)


def late_routers(rollout: Rollout, facts: Facts) -> tuple[str, ...]:
    """Return the names of the routers that do not follow the split that is wanted."""
    return tuple(router.name for router in facts.routers if router.generation != rollout.split.generation)


def refusing_routers(rollout: Rollout, facts: Facts) -> tuple[Router, ...]:
    """Return the routers that do not take the split that is wanted. They are given no split again before its generation is another."""
    return tuple(router for router in _all(facts) if router.refused == rollout.split.generation)


def new_refusals(before: Rollout, after: Rollout) -> tuple[Router, ...]:
    """Return the routers whose refusal is not in the memory of before: people read of it once."""
    known = {(router.name, router.refused, router.reason) for router in before.in_force}
    refusing = (router for router in after.in_force if router.refused is not None)
    return tuple(router for router in refusing if (router.name, router.refused, router.reason) not in known)


def weights_in_force(rollout: Rollout, facts: Facts, revision: str) -> tuple[int, int]:
    """Return the least and the greatest percentage of its requests that some router may send to a revision."""
    weights = [weight for router in facts.routers for weight in _weights(rollout, router, revision)]
    if not facts.routers:  # the next one starts with one of these
        weights = [split.weight_of(revision) for split in _remembered(rollout)]
    return min(weights), max(weights)


def may_carry(rollout: Rollout, facts: Facts, revision: str) -> bool:
    """Whether some router may send requests to a revision, now or as soon as it takes the split that is wanted."""
    return rollout.split.weight_of(revision) > 0 or weights_in_force(rollout, facts, revision)[1] > 0


def with_split(rollout: Rollout, facts: Facts, *, weights: tuple[tuple[str, int], ...], shadow: int = 0) -> Rollout:
    """Return the memory in which requests are divided like this; unchanged if they are already. A change starts the step's clock anew."""
    weights = tuple((revision, weight) for revision, weight in weights if weight > 0)
    if (weights, shadow) == (rollout.split.weights, rollout.split.shadow):
        return rollout
    return _with_new_generation(rollout, facts, weights=weights, shadow=shadow)


def noted_reports(rollout: Rollout, facts: Facts) -> Rollout:
    """Return the memory with what the routers report, and without splits that none of them can follow any more.

    A router that knows a newer split than is wanted would take no older one: the memory was lost. The split gets a generation above, and so does
    one with which routers are to be told something else.
    """
    generations = [router.generation for router in facts.routers]
    if _newest(facts) > rollout.split.generation or facts.settings != rollout.split.settings:
        since = rollout.step_started
        rollout = renewed(rollout, facts)
        rollout = rollout if rollout.canary else replace(rollout, step_started=since)
    earlier = rollout.earlier
    if generations and None not in generations:
        oldest = min(number for number in generations if number is not None)
        earlier = tuple(split for split in earlier if split.generation >= oldest)
    return updated(rollout, in_force=_as_last_reported(rollout, facts), earlier=earlier)


def renewed(rollout: Rollout, facts: Facts) -> Rollout:
    """Return the memory in which the same split has a new generation, so that routers take it in anew."""
    return _with_new_generation(rollout, facts, weights=rollout.split.weights, shadow=rollout.split.shadow)


def _with_new_generation(
    rollout: Rollout, facts: Facts, *, weights: tuple[tuple[str, int], ...], shadow: int
) -> Rollout:
    generation = max(rollout.split.generation, _newest(facts)) + 1
    split = Split(generation=generation, weights=weights, shadow=shadow, settings=facts.settings)
    earlier = (*rollout.earlier, rollout.split)[-_MOST_EARLIER:]
    return replace(rollout, split=split, earlier=earlier, step_started=None)


def _weights(rollout: Rollout, router: Router, revision: str) -> tuple[int, ...]:
    """Return the percentages that a router may follow for a revision. It may have taken a newer split since it last reported."""
    splits = _remembered(rollout)
    oldest = router.generation
    if oldest is None:
        return tuple(split.weight_of(revision) for split in splits)
    if oldest < splits[0].generation:  # one that is not remembered
        return (0, 100)
    return tuple(split.weight_of(revision) for split in splits if split.generation >= oldest) or (0, 100)


def _as_last_reported(rollout: Rollout, facts: Facts) -> tuple[Router, ...]:
    """Return the routers for people. After a restart of the operator they have reported nothing yet: what they said before stands until then."""
    known = {router.name: router for router in rollout.in_force}
    return tuple(
        known.get(router.name, router) if router.generation is None and router.refused is None else router
        for router in _all(facts)
    )


def _all(facts: Facts) -> tuple[Router, ...]:
    return (*facts.routers, *facts.standby)


def _newest(facts: Facts) -> int:
    """Return the newest generation that some router knows, whether it took it or not."""
    return max((max(router.generation or 0, router.refused or 0) for router in _all(facts)), default=0)


def _remembered(rollout: Rollout) -> tuple[Split, ...]:
    return (*rollout.earlier, rollout.split)
