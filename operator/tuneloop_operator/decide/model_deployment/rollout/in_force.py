"""Which splits the routers follow. A split that is wanted is not yet one that is followed: routers take it by themselves, or die before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.state import Split, updated

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.facts import Facts, Router
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

_MOST_EARLIER = 8
"""Splits that are remembered beside the wanted one. What follows an older one may send requests to any revision."""


def is_in_force(rollout: Rollout, facts: Facts) -> bool:
    """Whether there is a router, and every router follows the split that is wanted."""
    return bool(facts.routers) and all(router.generation == rollout.split.generation for router in facts.routers)


def late_routers(rollout: Rollout, facts: Facts) -> tuple[str, ...]:
    """Return the names of the routers that do not follow the split that is wanted."""
    return tuple(router.name for router in facts.routers if router.generation != rollout.split.generation)


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

    A router that follows a newer split than is wanted would take no older one: the memory was lost. The split gets a generation above.
    """
    reported = tuple((router.name, router.generation) for router in facts.routers)
    generations = [router.generation for router in facts.routers]
    if max((number for number in generations if number is not None), default=0) > rollout.split.generation:
        split, since = rollout.split, rollout.step_started
        rollout = _with_new_generation(rollout, facts, weights=split.weights, shadow=split.shadow)
        rollout = rollout if rollout.canary else replace(rollout, step_started=since)
    earlier = rollout.earlier
    if generations and None not in generations:
        oldest = min(number for number in generations if number is not None)
        earlier = tuple(split for split in earlier if split.generation >= oldest)
    return updated(rollout, in_force=reported, earlier=earlier)


def _with_new_generation(
    rollout: Rollout, facts: Facts, *, weights: tuple[tuple[str, int], ...], shadow: int
) -> Rollout:
    reported = [router.generation for router in facts.routers if router.generation is not None]
    split = Split(generation=max(rollout.split.generation, *reported, 0) + 1, weights=weights, shadow=shadow)
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


def _remembered(rollout: Rollout) -> tuple[Split, ...]:
    return (*rollout.earlier, rollout.split)
