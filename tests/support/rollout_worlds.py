"""The worlds that a roll-out can be in: its memory, what the routers were given and follow, the servers, and what is on its way. No I/O.

Time and generations are relative: a world in which everything is a minute older, or has a generation above, is the same world. So there are
finitely many, although time never ends. `rollout_moves` says what may happen next in a world.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tuneloop_operator.decide.model_deployment.rollout.facts import (
    Autoscaling,
    Capacity,
    Command,
    Facts,
    Measurements,
    RolloutSpec,
    StepSpec,
)
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Rollout, Router, Split, Strategy

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TICK = timedelta(minutes=1)
OLDEST = NOW - 3 * TICK
"""Every duration of a spec here is shorter than this is ago."""
LOWEST = 10
"""The lowest generation in a world."""
SPEC = RolloutSpec(
    strategy=Strategy.CANARY,
    steps=(StepSpec(weight=50, min_duration=60.0, min_requests=10),),
    gates=("quality",),
    max_duration=120.0,
    baking=60.0,
    window=120.0,
    replicas=2,
    digest="first",
)
QUICK = replace(SPEC, baking=0.0, window=0.0)
"""A promotion is the end."""
TIMELESS = replace(QUICK, steps=(StepSpec(weight=50, min_requests=10),), max_duration=1e9, window=1e9)
"""Nothing takes any time, and no time passes."""
REPLACING = replace(TIMELESS, capacity=Capacity.REPLACE, replicas=3)
TWO_STEPS = (StepSpec(weight=25, min_duration=60.0, min_requests=10), StepSpec(weight=50, pause=True))


@dataclass(frozen=True)
class Follower:
    """A router."""

    name: str
    split: Split
    """That it really follows."""
    reported: int | None


@dataclass(frozen=True)
class World:
    spec: RolloutSpec = SPEC
    rollout: Rollout | None = None
    """As it is written."""
    published: Split | None = None
    """What routers may take; a new router starts with it."""
    counts: tuple[tuple[str, int], ...] = ()
    ready: tuple[tuple[str, int], ...] = ()
    broken: tuple[tuple[str, str], ...] = ()
    routers: tuple[Follower, ...] = ()
    offered: str = "r1"
    pinned: str = ""
    measured: Measurements | None = None
    command: Command | None = None
    pending: tuple[tuple[str, Any], ...] = ()
    """Writes that the operator has decided on and not made."""
    full: int = 2
    """Servers that are asked for unless the deployment sleeps."""
    has_slept: bool = False
    """Whether no servers were asked for at some time."""
    faults: int = 0
    edits: int = 0
    commands: int = 0

    def facts(self) -> Facts:
        """Return what the operator observes."""
        names = {name for name, _ in self.counts} | {self.offered}
        return Facts(
            spec=self.spec,
            offered=self.offered,
            pinned=self.pinned,
            serving="r1",
            revisions=tuple(sorted(names)),
            counts=self.counts,
            ready=self.ready,
            broken=self.broken,
            routers=tuple(Router(name=router.name, generation=router.reported) for router in self.routers),
            measured=self.measured,
            command=self.command,
        )


def first_world(spec: RolloutSpec = SPEC, *, routers: int = 1, **budgets: int) -> World:
    """Return the world in which r1 serves and r2 has just been offered."""
    split = Split(generation=LOWEST, weights=(("r1", 100),))
    return World(
        spec=spec,
        rollout=Rollout(strategy=spec.strategy, stable="r1", has_served=True, split=split),
        published=split,
        counts=(("r1", spec.replicas),),
        ready=(("r1", spec.replicas),),
        routers=tuple(Follower(name=f"router-{index}", split=split, reported=LOWEST) for index in range(routers)),
        offered="r2",
        full=spec.replicas,
        **budgets,
    )


def midway_world(spec: RolloutSpec = SPEC, **budgets: int) -> World:
    """Return a world in which r2 gets half of the requests and the servers of r1 have failed for good."""
    split = Split(generation=LOWEST, weights=(("r2", 50), ("r1", 50)))
    world = first_world(spec, **budgets)
    assert world.rollout is not None
    return replace(
        world,
        rollout=replace(
            world.rollout, canary="r2", phase=Phase.PROGRESSING, started=NOW, step_started=NOW, split=split
        ),
        published=split,
        counts=(("r1", 2), ("r2", 1)),
        ready=(("r2", 1),),
        broken=(("r1", "crashes again and again"),),
        routers=(Follower(name="router-0", split=split, reported=LOWEST),),
    )


def with_pair(pairs: tuple[tuple[str, Any], ...], name: str, value: Any) -> tuple[tuple[str, Any], ...]:
    """Return the pairs with this one; a value that is empty leaves none."""
    return tuple(sorted({**dict(pairs), name: value}.items())) if value else tuple(p for p in pairs if p[0] != name)


def older(world: World) -> World:
    """Return the world a minute later."""
    return _with_times(world, lambda moment: max(moment - TICK, OLDEST))


def steady(world: World) -> World:
    """Return the world with its generations counted from LOWEST."""
    return _with_generations(world, LOWEST - min(_generations(world)))


def bare(rollout: Rollout) -> Rollout:
    """Return the memory without texts and copies of facts."""
    return replace(
        rollout,
        in_force=(),
        requests=0,
        gates=(),
        why="some reason" if rollout.why else "",
        ending=rollout.ending and replace(rollout.ending, message=""),
        rejected=tuple(replace(found, message="", at=OLDEST) for found in rollout.rejected),
    )


def _with_times(world: World, aged: Any) -> World:
    rollout, measured = world.rollout, world.measured
    if rollout is not None:
        times = {name: getattr(rollout, name) for name in ("started", "step_started", "promoted")}
        rollout = replace(rollout, **{name: moment and aged(moment) for name, moment in times.items()})
    if measured is not None:
        measured = replace(measured, step=replace(measured.step, since=aged(measured.step.since)))
    return replace(world, rollout=rollout, measured=measured)


def _generations(world: World) -> list[int]:
    splits = [router.split for router in world.routers]
    if world.rollout is not None:
        splits += [world.rollout.split, *world.rollout.earlier]
    splits += [world.published] if world.published else []
    for value in dict(world.pending).values():
        splits += [value.split, *value.earlier] if isinstance(value, Rollout) else []
    return [split.generation for split in splits]


def _with_generations(world: World, shift: int) -> World:
    if shift == 0:
        return world

    def moved(split: Split) -> Split:
        return replace(split, generation=split.generation + shift)

    def renumbered(rollout: Rollout) -> Rollout:
        return replace(rollout, split=moved(rollout.split), earlier=tuple(moved(found) for found in rollout.earlier))

    rollout, measured = world.rollout, world.measured
    rollout = rollout and renumbered(rollout)
    pending = tuple((kind, renumbered(value) if isinstance(value, Rollout) else value) for kind, value in world.pending)
    if measured is not None:
        measured = replace(measured, step=replace(measured.step, generation=measured.step.generation + shift))
    routers = tuple(
        replace(found, split=moved(found.split), reported=found.reported and found.reported + shift)
        for found in world.routers
    )
    published = world.published and moved(world.published)
    return replace(world, rollout=rollout, measured=measured, routers=routers, published=published, pending=pending)


WAYS = tuple(
    (strategy, capacity)
    for strategy in Strategy
    for capacity in Capacity
    if (strategy, capacity) != (Strategy.RECREATE, Capacity.REPLACE)
)
"""Each strategy, with each place for new servers. The API refuses the pair that is left out: nothing can divide the requests."""


def random_world(seed: int) -> World:
    """Return a first world, with one to three servers and one or two routers. Seeds in a row go through all `WAYS`, twice with a number of servers and once with an autoscaler."""
    chance, (strategy, capacity) = random.Random(f"world {seed}"), WAYS[seed % len(WAYS)]
    scaling = Autoscaling(minimum=1, maximum=3) if seed // len(WAYS) % 3 == 2 else None
    spec = replace(
        SPEC,
        strategy=strategy,
        capacity=capacity,
        replicas=1 if scaling else chance.choice((1, 2, 3)),
        steps=chance.choice((SPEC.steps, TWO_STEPS, ())),
        keep_replicas=chance.choice((0, 1)),
        manual_approval=chance.random() < 0.2,
        automatic_rollback=chance.random() < 0.8,
        autoscaling=scaling,
        shadow_percent=chance.choice((0, 10)),
        shadow_min_requests=10,
    )
    budgets = {name: chance.randint(0, 2) for name in ("edits", "commands")}
    return first_world(spec, routers=chance.choice((1, 2)), faults=chance.randint(0, 4), **budgets)
