"""The state machine of a roll-out, explored: every order of operator, crash, servers, routers, gates, edits and commands, up to a bound,

and long walks at random through all strategies with several routers.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from dataclasses import dataclass, replace

import pytest
from rollout_moves import decided, deleted, moves, operator_moves
from rollout_worlds import (
    NOW,
    QUICK,
    REPLACING,
    TIMELESS,
    TWO_STEPS,
    World,
    bare,
    first_world,
    midway_world,
    random_world,
)
from ways_to_an_end import reaching

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction
from tuneloop_operator.decide.model_deployment.rollout.capacity import Servers
from tuneloop_operator.decide.model_deployment.rollout.facts import Action, Capacity, Facts, measured_step
from tuneloop_operator.decide.model_deployment.rollout.rollout import decide
from tuneloop_operator.decide.model_deployment.rollout.state import (
    IDLE,
    Phase,
    RejectionReason,
    Rollout,
)
from tuneloop_operator.decide.model_deployment.rollout.strategies import step_of

WAITING_FOR_A_PERSON = {Phase.HELD, Phase.PAUSED}


def check_state(world: World) -> None:
    """Check what must hold in every world."""
    counts, full, gone = dict(world.counts), world.spec.replicas, deleted(world)
    for router in world.routers:
        assert sum(weight for _, weight in router.split.weights) == 100
        for name, weight in router.split.weights:
            assert name not in gone, f"{name} is deleted and gets {weight} %"
            if world.has_slept:  # there was nothing to keep
                continue
            # requests that go back at once where servers are replaced meet fewer servers for a while, and so do those that
            # a person gives to the first server of a canary beside a stable that is down
            is_promoted_by_hand = world.command is not None and world.command.action is Action.PROMOTE
            is_lenient = world.spec.capacity is Capacity.REPLACE or is_promoted_by_hand
            least = 1 if is_lenient else full * weight // 100
            assert counts.get(name, 0) >= max(1, least), f"{name} gets {weight} % with {counts.get(name, 0)} servers"


def check_servers(world: World, wanted: Servers) -> None:
    """Check that no revision loses servers that some router still needs."""
    if not world.spec.replicas:
        return
    replaces = world.spec.capacity is Capacity.REPLACE
    for name, count in wanted.counts:
        if count is None or count >= dict(world.counts).get(name, 0):
            continue
        for router in world.routers:
            weight = router.split.weight_of(name)
            least = world.spec.replicas * weight // 100 - replaces
            assert not weight or count >= max(1, least), f"{name} gets {weight} % and is to have {count} servers"


def check_total(world: World, wanted: Servers) -> None:
    """Check that there are no more servers than docs/rollouts.md says."""
    spec, full = world.spec, world.spec.replicas
    if not full or spec.autoscaling is not None:
        return
    most = max(full, 2) if spec.capacity is Capacity.REPLACE else 2 * full
    total = sum(count or 0 for _, count in wanted.counts)
    assert total <= most + spec.keep_replicas, f"{wanted.counts}: {most} servers are allowed, and those that are kept"


def check_decision(world: World) -> None:
    """Check the decision that follows in a world."""
    facts = world.facts()
    found, wanted = decided(world.rollout, facts)
    check_servers(world, wanted)
    check_total(world, wanted)
    again = decide(found.rollout, facts, now=NOW)
    assert bare(again.rollout) == bare(found.rollout), "the decision changes once it is written"
    assert not again.events, f"people are told twice: {again.events}"
    new = found.rollout
    for name, weight in new.split.weights:
        is_ready = dict(facts.ready).get(name, 0) > 0
        assert is_ready or name == new.stable, f"{name} has no ready server and gets {weight} %"
    if world.rollout is not None:
        check_change(world, world.rollout, new, facts)


def check_change(world: World, old: Rollout, new: Rollout, facts: Facts) -> None:
    """Check what no decision may do."""
    if (new.split.weights, new.split.shadow) != (old.split.weights, old.split.shadow):
        assert new.split.generation > old.split.generation
    check_weights(world, old, new, facts)
    check_progress(old, new, facts)
    check_rejections(old, new, facts)
    if new.stable != old.stable and old.has_served:
        assert new.stable in {old.canary, old.previous}
        assert facts.routers
        assert all(router.split.weights == ((new.stable, 100),) for router in world.routers), "promoted too early"
    if new.phase is Phase.BAKING and old.phase is not Phase.BAKING:
        assert (new.stable, new.previous) == (old.canary, old.stable), "the promotion is not remembered"
    if new.phase is Phase.REVERTING and old.phase is not Phase.REVERTING:
        assert new.canary == old.previous, "went back to another revision than the one before"
    if old.canary not in {"", new.stable} and new.canary not in {"", old.canary}:
        carried = [router.split.weight_of(old.canary) for router in world.routers]
        assert not any(carried), f"{old.canary} still gets {carried} % when {new.canary} takes its place"


def check_weights(world: World, old: Rollout, new: Rollout, facts: Facts) -> None:
    """Check a change of the split."""
    ready = dict(facts.ready)
    in_force = bool(facts.routers) and all(router.generation == old.split.generation for router in facts.routers)
    is_same = new.canary == old.canary or (not old.canary and new.canary)
    if is_same and new.split.weight_of(new.canary) > old.split.weight_of(new.canary):
        assert in_force, "went on before the split was in force on every router"
        if world.spec.capacity is Capacity.SURGE and not new.is_forced:
            needed = -(-world.spec.replicas * new.split.weight_of(new.canary) // 100)
            assert ready.get(new.canary, 0) >= needed, "too few servers for the weight"
    begins_to_go_back = new.phase is Phase.ROLLING_BACK and old.phase is not Phase.ROLLING_BACK
    if begins_to_go_back and new.split.weight_of(new.canary) and (facts.command is None or is_obeyed(facts, old)):
        raise AssertionError(f"{new.canary} is rolled back to a stable without servers")
    given_back = new.split.weight_of(old.stable) > old.split.weight_of(old.stable)
    if given_back and not ready.get(old.stable) and new.stable == old.stable:
        assert not ready.get(old.canary), f"{old.stable} has no server and gets requests back"


def is_obeyed(facts: Facts, old: Rollout) -> bool:
    """Whether the command was carried out before."""
    return facts.command is not None and facts.command.token in old.commands


def check_progress(old: Rollout, new: Rollout, facts: Facts) -> None:
    """Check a step that is left."""
    if new.canary != old.canary or not old.canary:
        assert new.step <= 1
        return
    assert new.step <= old.step + 1, "a step was left out"
    is_commanded = facts.command is not None and facts.command.token not in old.commands
    is_left = new.step > old.step or (new.phase is Phase.PROMOTING and old.phase is not Phase.PROMOTING)
    if not is_left or new.is_forced or old.is_skipped or (is_commanded and facts.command.action is Action.SKIP):
        return
    step, measured = step_of(old, facts.spec), facts.measured
    # a step may begin and end in one decision, if it asks for nothing or had begun in this very second before
    old = replace(old, step_started=old.step_started or NOW)
    assert (NOW - old.step_started).total_seconds() >= step.min_duration, "too early"
    assert facts.routers
    assert all(router.generation == old.split.generation for router in facts.routers), "not in force"
    if step.min_requests or facts.spec.gates:
        assert measured is not None
        assert measured.step == measured_step(old), "advanced on what was measured in another step"
        assert measured.requests >= step.min_requests, "too few requests"
    if facts.spec.gates:
        assert [gate.action for gate in measured.gates] == [GateAction.ADVANCE], "a gate did not advance"
    approves = is_commanded and facts.command.action is Action.APPROVE
    assert not step.pause or old.step in old.approved_steps or approves, "nobody approved"


def check_rejections(old: Rollout, new: Rollout, facts: Facts) -> None:
    """Check what is rejected, and that nothing rejected comes back by itself."""
    retried = facts.command is not None and facts.command.action is Action.RETRY
    for found in old.rejected:
        is_offered_again = new.canary == found.revision and old.canary != found.revision
        assert not is_offered_again or retried or found.spec_digest != facts.spec.digest, f"{found} is offered again"
    reasons = [new.ending.reason] if new.ending and new.ending != old.ending else []
    reasons += [found.reason for found in new.rejected if found not in old.rejected]
    known = {found.reason for found in old.rejected} | ({old.ending.reason} if old.ending else set())
    if RejectionReason.GATE_FAILED in set(reasons) - known:
        gates = facts.measured.gates if facts.measured else ()
        assert any(gate.action is GateAction.ROLL_BACK for gate in gates), "rolled back, and no gate asked for it"


@dataclass
class Explored:
    worlds: set[World]
    before: dict[World, list[World]]
    """By world: those that lead to it by themselves."""
    ends: set[World]


def explore(start: World) -> Explored:
    """Go every way from a world."""
    found = Explored(worlds={start}, before=defaultdict(list), ends=set())
    queue = deque([start])
    while queue:
        world = queue.popleft()
        check_state(world)
        if not world.pending:
            check_decision(world)
        if is_end(world):
            found.ends.add(world)
        for _, after, by_itself in moves(world):
            if by_itself:
                found.before[after].append(world)
            if after not in found.worlds:
                found.worlds.add(after)
                queue.append(after)
    return found


def is_end(world: World) -> bool:
    """Whether the operator rests for a good reason: promoted, rolled back, or held until a person acts."""
    rollout = world.rollout
    if rollout is None or next(operator_moves(world), None) is not None:
        return False
    why = decided(rollout, world.facts())[0].rollout.why
    stuck = rollout.stable in dict(world.broken) or not world.spec.replicas
    if rollout.phase in WAITING_FOR_A_PERSON or (stuck and rollout.canary):
        assert why, "held without a reason"
        return True
    target = world.pinned or world.offered
    refused = {found.revision for found in rollout.rejected if found.spec_digest == world.spec.digest}
    return rollout.phase in IDLE and (target == rollout.stable or target in refused)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(first_world(QUICK), id="time passes"),
        pytest.param(first_world(replace(QUICK, steps=TWO_STEPS)), id="two steps"),
        pytest.param(first_world(TIMELESS, routers=2), id="two routers"),
        pytest.param(first_world(TIMELESS, faults=1), id="a fault"),
        pytest.param(first_world(TIMELESS, edits=1), id="an edit"),
        pytest.param(first_world(TIMELESS, commands=1), id="a command"),
        pytest.param(midway_world(TIMELESS, faults=1), id="a fault beside a stable that is down"),
        pytest.param(first_world(faults=1), id="a fault while time passes", marks=pytest.mark.full),
        pytest.param(first_world(edits=1), id="an edit while time passes", marks=pytest.mark.full),
        pytest.param(first_world(commands=1), id="a command while time passes", marks=pytest.mark.full),
        pytest.param(first_world(REPLACING, faults=1), id="a fault while servers are replaced"),
        pytest.param(first_world(TIMELESS, faults=1, routers=2), id="a fault with two routers", marks=pytest.mark.full),
        pytest.param(
            first_world(REPLACING, faults=2), id="two faults while servers are replaced", marks=pytest.mark.full
        ),
        pytest.param(first_world(TIMELESS, faults=2), id="two faults", marks=pytest.mark.full),
        pytest.param(first_world(TIMELESS, faults=1, edits=1), id="a fault and an edit", marks=pytest.mark.full),
        pytest.param(first_world(TIMELESS, faults=1, commands=1), id="a fault and a command", marks=pytest.mark.full),
        pytest.param(first_world(TIMELESS, edits=1, commands=1), id="an edit and a command", marks=pytest.mark.full),
    ],
)
def test_whatever_happens_a_roll_out_comes_to_an_end(start: World) -> None:
    found = explore(start)
    dead_ends = found.worlds - reaching(found.ends, found.before)
    can_be_promoted = "r1" not in dict(start.broken) and not any(step.pause for step in start.spec.steps)
    assert any(world.rollout.stable == "r2" and world.rollout.phase in IDLE for world in found.ends) is can_be_promoted
    assert not dead_ends, min(dead_ends, key=lambda world: len(str(world)))


def walk(seed: int, *, steps: int = 40) -> tuple[World, list[str]]:
    """Go one way at random, first with faults, edits and commands, then without; return the last world and the names of the moves."""
    chance = random.Random(seed)
    world, path = random_world(seed), []
    for number in range(10 * steps):
        check_state(world)
        if not world.pending:
            check_decision(world)
        if number >= steps and is_end(world):
            break
        by_itself = [(name, after) for name, after, is_usual in moves(world) if is_usual]
        others = [(name, after) for name, after, is_usual in moves(world) if not is_usual]
        goes_wrong = others and number < steps and chance.random() < 0.25
        name, world = chance.choice(others if goes_wrong else by_itself)
        path.append(name)
    return world, path


@pytest.mark.parametrize(
    "seeds", [range(21), pytest.param(range(21, 1000), marks=pytest.mark.full)], ids=["few", "many"]
)
def test_no_walk_through_any_strategy_breaks_what_must_hold(seeds: range) -> None:
    for seed in seeds:
        try:
            world, path = walk(seed)
        except AssertionError as error:
            raise AssertionError(f"walk {seed}: {error}") from error
        assert is_end(world), f"walk {seed} does not come to an end: {path[-20:]} {world}"
