"""What may happen next in a world of `rollout_worlds`. The operator is the real `decide`; it may be killed between any two writes. No I/O."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rollout_worlds import NOW, TIMELESS, TWO_STEPS, Follower, World, bare, older, steady, with_pair

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict
from tuneloop_operator.decide.model_deployment.rollout.capacity import Servers, revisions_to_delete, servers
from tuneloop_operator.decide.model_deployment.rollout.facts import Action, Command, Measurements, measured_step
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary
from tuneloop_operator.decide.model_deployment.rollout.rollout import NextRollout, decide

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tuneloop_operator.decide.model_deployment.rollout.facts import Facts
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

Move = tuple[str, World]
VERDICTS = {
    GateAction.ADVANCE: Verdict.PASS,
    GateAction.HOLD: Verdict.NO_DATA,
    GateAction.ROLL_BACK: Verdict.FAIL,
    GateAction.GIVE_UP: Verdict.ERROR,
}
ENOUGH = 10


@lru_cache(maxsize=200_000)
def decided(rollout: Rollout | None, facts: Facts) -> tuple[NextRollout, Servers]:
    """Return what follows, and the servers that are wanted then."""
    found = decide(rollout, facts, now=NOW)
    return found, servers(found.rollout, facts, now=NOW)


def operator_moves(world: World) -> Iterator[Move]:
    """Yield what the operator does next; nothing if it waits."""
    if world.pending:
        yield "write", written(world)
        return
    facts = world.facts()
    found, wanted = decided(world.rollout, facts)
    known = dict(world.counts)
    # where the autoscaler owns the number, it is what it was, within the autoscaler's limits
    numbers = {name: max(known.get(name, 0), wanted.floor) if count is None else count for name, count in wanted.counts}
    counts = tuple(sorted((name, count) for name, count in numbers.items() if count))
    after = bare(found.rollout)
    writes: list[tuple[str, Any]] = [("status", after)] if after != world.rollout else []
    if after.split != world.published:
        writes.append(("publish", None))
    if counts != world.counts:
        writes.append(("scale", counts))
    if writes:
        yield "decide", replace(world, pending=tuple(writes))


def written(world: World) -> World:
    """Return the world after the operator's next write."""
    (kind, value), rest = world.pending[0], world.pending[1:]
    world = replace(world, pending=rest)
    if kind == "status":
        return replace(world, rollout=value)
    if kind == "publish":
        return replace(world, published=world.rollout.split if world.rollout else None)
    counts = dict(value)
    ready = tuple((name, min(number, counts[name])) for name, number in world.ready if counts.get(name))
    return replace(world, counts=value, ready=ready)


def cluster_moves(world: World) -> Iterator[Move]:
    """Yield what may happen without a fault."""
    for name, count in world.counts:
        if dict(world.ready).get(name, 0) < count and name not in dict(world.broken):
            yield "ready", replace(world, ready=with_pair(world.ready, name, count))
    for router in world.routers:
        published = world.published
        if published is not None and published.generation > router.split.generation:
            yield "take", with_router(world, router, replace(router, split=published))
        if router.reported != router.split.generation:
            yield "report", with_router(world, router, replace(router, reported=router.split.generation))
    if not world.pending and world.spec.max_duration != TIMELESS.max_duration:
        yield "tick", older(world)
    for move in measurements(world, (GateAction.ADVANCE,)):
        yield "measure", move


def measurements(world: World, actions: Collection[GateAction], *, requests: int = ENOUGH) -> Iterator[World]:
    """Yield the worlds in which the step was measured like this."""
    step = measured_step(world.rollout) if world.rollout else None
    if step is None:
        return
    for action in actions:
        gate = GateSummary(name="quality", verdict=VERDICTS[action], action=action, reason="")
        measured = Measurements(step=step, requests=requests, gates=(gate,))
        if measured != world.measured:
            yield replace(world, measured=measured)


def faults(world: World) -> Iterator[Move]:
    """Yield what may go wrong."""
    if not world.faults:
        return
    poorer = replace(world, faults=world.faults - 1)
    if world.pending:
        yield "kill", replace(poorer, pending=())
    for name, _ in world.ready:
        yield "lose servers", replace(poorer, ready=with_pair(world.ready, name, 0))
        broken = with_pair(world.broken, name, "cannot load the model")
        yield "break", replace(poorer, ready=with_pair(world.ready, name, 0), broken=broken)
    for router in world.routers:
        if world.published is not None:
            fresh = Follower(name=f"{router.name}'", split=world.published, reported=None)
            yield "router dies", with_router(poorer, router, fresh)
            gone = tuple(found for found in world.routers if found != router)
            yield "router is gone", replace(poorer, routers=gone)
    for bad in measurements(poorer, (GateAction.HOLD, GateAction.ROLL_BACK, GateAction.GIVE_UP)):
        yield "bad measurement", bad
    for thin in measurements(poorer, (GateAction.ADVANCE,), requests=1):
        yield "thin", thin


def repairs(world: World) -> Iterator[Move]:
    """Yield how a cluster mends itself."""
    if not world.routers and world.published is not None:
        yield "new router", replace(world, routers=(Follower(name="router-n", split=world.published, reported=None),))
    if not world.spec.replicas:
        yield "scale up", replace(world, spec=replace(world.spec, replicas=world.full))


def edits(world: World) -> Iterator[Move]:
    """Yield what a person may write into the spec."""
    if not world.edits:
        return
    poorer = replace(world, edits=world.edits - 1)
    for offered in {"r1", "r2", "r3"} - {world.offered}:
        yield f"offer {offered}", replace(poorer, offered=offered)
    if world.spec.steps != TWO_STEPS and world.spec.max_duration != TIMELESS.max_duration:
        yield "other steps", replace(poorer, spec=replace(world.spec, steps=TWO_STEPS, digest="second"))
    if not world.pinned:
        yield "pin r1", replace(poorer, pinned="r1", spec=replace(world.spec, digest="pinned"))
    else:
        yield "unpin", replace(poorer, pinned="", spec=replace(world.spec, digest="first"))
    if world.spec.replicas:
        yield "scale to zero", replace(poorer, spec=replace(world.spec, replicas=0), has_slept=True)


def commands(world: World) -> Iterator[Move]:
    """Yield what a person may ask for."""
    if not world.commands:
        return
    for action in Action:
        command = Command(action=action, token=f"{world.commands}")
        yield action.value, replace(world, command=command, commands=world.commands - 1)


def moves(world: World) -> Iterator[tuple[str, World, bool]]:
    """Yield the name of each move, the world after it, and whether it is one that happens by itself."""
    for name, after in (*operator_moves(world), *cluster_moves(world), *repairs(world)):
        yield name, steady(after), True
    for name, after in (*faults(world), *edits(world), *commands(world)):
        yield name, steady(after), False


def with_router(world: World, old: Follower, new: Follower) -> World:
    """Return the world with another router in the place of one."""
    return replace(world, routers=tuple(new if found == old else found for found in world.routers))


def deleted(world: World) -> tuple[str, ...]:
    """Return what would be deleted now if no history were kept."""
    facts = world.facts()
    facts = replace(facts, spec=replace(facts.spec, history_limit=0))
    return revisions_to_delete(world.rollout, facts, now=NOW) if world.rollout else ()
