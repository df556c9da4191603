"""The state machine of a job, explored: every order of operator, crash, kubelet, failure, deletion by hand and suspend, up to a bound,

and long walks at random in the worlds that clusters have: queues, quotas, lost nodes, creations that come late.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pytest
from cluster_in_worlds import cluster_moves, faults
from job_worlds import CLUSTER_FAULTS, FAILURES, MORE_FAILURES, NODE_FAILURES, World, parsed
from operator_in_worlds import operator_moves
from ways_to_an_end import reaching

DAY = 86400.0
EVERYTHING = (*FAILURES, *MORE_FAILURES, *NODE_FAILURES, *CLUSTER_FAULTS)
_FAULTS = {"suspend", "crash", "delete by hand", "imageless", *EVERYTHING}
FINAL = {"Succeeded", "Failed"}


def check_state(world: World) -> None:
    """Check what must hold in every world."""
    pods = world.cluster[1]
    running = {pod.owner for pod in pods if pod.state == "running" and "-a" in pod.owner}
    assert len(running) <= 1, f"two live attempts: {running}"
    status = parsed(world.status)
    numbers = [record["attempt"] for record in status.get("history", ())]
    assert len(numbers) == len(set(numbers)), f"an attempt is twice in the history: {numbers}"
    assert numbers == sorted(numbers), f"the history is out of order: {numbers}"
    used = status.get("usage", {}).get("activeSeconds", 0.0)
    assert used <= DAY * world.gangs, f"{world.gangs} gangs of one day have used {used} s"


def recorded_attempts(status: dict[str, Any]) -> set[int]:
    """Return the attempts whose Job is known to have been there. One that was deleted before that was noted looks like a lost create."""
    numbers = {record["attempt"] for record in status.get("history", ())}
    child = status.get("children", {}).get("train", {})
    return numbers | ({status["attempt"]} if child.get("uid") or child.get("ended") else set())


def check_step(name: str, before: World, after: World, *, allowed: int) -> None:
    """Check what no step may do. `allowed`: how many faults there may be in all."""
    made = Counter(after.created) - Counter(before.created)
    attempts = {int(created.rsplit("-a", 1)[-1]) for created in made if "-a" in created}
    again = attempts & recorded_attempts(parsed(before.status))
    assert not again, f"created a second time: attempts {again}"
    if made and name == "write":
        assert not before.finished, f"a finished job started {made}"
        assert not before.decided_on, f"a suspended job started {made}"
    if before.status != after.status:
        check_statuses(parsed(before.status), parsed(after.status), met=allowed - after.faults)


def check_statuses(old: dict[str, Any], new: dict[str, Any], *, met: int) -> None:
    """Check one write of the status. `met`: the faults so far, each of which is counted once at most."""
    if old.get("phase") in FINAL:
        assert new["phase"] == old["phase"], "a finished job was opened again"
    assert new.get("attempt", 0) >= old.get("attempt", 0), "the attempt went back"
    counters = new.get("restarts", {})
    for counter in ("total", "failure", "disruption"):
        assert counters.get(counter, 0) >= old.get("restarts", {}).get(counter, 0), f"restarts.{counter} went back"
    assert counters.get("total", 0) <= met, f"{met} faults led to {counters}"
    for figure in ("activeSeconds", "gpuSeconds", "usefulSeconds"):
        assert new.get("usage", {}).get(figure, 0) >= old.get("usage", {}).get(figure, 0), f"{figure} went back"
    for fact in ("startTime", "image"):
        assert old.get(fact) in {None, new.get(fact)}, f"{fact} changed"
    holding = {found["type"] for found in new["conditions"] if found["status"] == "True"}
    assert len(holding & {"Ready", "Reconciling", "Stalled", "Suspended"}) == 1, f"tools see {holding}"
    shorter, longer = old.get("history", []), new.get("history", [])
    numbers = [record["attempt"] for record in longer]
    assert numbers[: len(shorter)] == [record["attempt"] for record in shorter], "the history was rewritten"


@dataclass
class Explored:
    worlds: set[World]
    before: dict[World, list[World]]
    """By world: those that lead to it without a fault."""
    ends: set[World]
    """Finished, with nothing left to do."""


def explore(*, faults_allowed: int, toggles: int, gang: int, failures: Collection[str]) -> Explored:
    """Go every way from the first world."""
    start = World(faults=faults_allowed, toggles=toggles)
    found = Explored(worlds={start}, before=defaultdict(list), ends=set())
    queue = deque([start])
    while queue:
        world = queue.popleft()
        check_state(world)
        own = list(operator_moves(world, gang))
        if not own and world.view == world.cluster:
            check_idle(world)
            found.ends |= {world} if world.finished else set()
        for name, after in (*own, *cluster_moves(world), *faults(world, failures)):
            check_step(name, world, after, allowed=faults_allowed)
            if name not in _FAULTS:
                found.before[after].append(world)
            if after not in found.worlds:
                found.worlds.add(after)
                queue.append(after)
    return found


def check_idle(world: World) -> None:
    """Check a world in which the operator has nothing left to do."""
    holding = [job.name for job in world.cluster[0] if not job.outcome and not job.deleting]
    assert not (world.finished and holding), f"a finished job holds nodes: {holding}"
    assert not (world.suspend and holding), f"a suspended job holds nodes: {holding}"
    status = parsed(world.status)
    pods_run = any(pod.state in {"running", "imageless"} for pod in world.cluster[1])
    is_over = status.get("phase") == "Suspended" and not pods_run
    assert not (is_over and "runningSince" in status), f"what a suspended gang used is not counted: {world}"


@pytest.mark.parametrize(
    ("faults_allowed", "toggles", "gang", "failures"),
    [
        pytest.param(0, 1, 1, (), id="a suspension"),
        pytest.param(1, 0, 1, FAILURES, id="a fault"),
        pytest.param(1, 0, 2, CLUSTER_FAULTS, id="a gang of two in a crowded cluster", marks=pytest.mark.full),
        pytest.param(1, 0, 2, FAILURES, id="a fault in a gang of two", marks=pytest.mark.full),
        pytest.param(2, 0, 1, FAILURES, id="two faults", marks=pytest.mark.full),
        pytest.param(1, 1, 1, FAILURES, id="a fault and a suspension", marks=pytest.mark.full),
        pytest.param(
            1, 1, 1, MORE_FAILURES, id="a fault that changes the next attempt, and a suspension", marks=pytest.mark.full
        ),
    ],
)
def test_whatever_happens_a_job_comes_to_an_end(
    faults_allowed: int, toggles: int, gang: int, failures: Collection[str]
) -> None:
    found = explore(faults_allowed=faults_allowed, toggles=toggles, gang=gang, failures=failures)
    dead_ends = found.worlds - reaching(found.ends, found.before)
    assert found.ends
    assert not dead_ends, min(dead_ends, key=lambda world: len(world.status))


def walk(seed: int, *, steps: int = 60) -> tuple[World, list[str]]:
    """Go one way at random, first with faults and then without any; return the last world and the names of the steps."""
    chance = random.Random(seed)
    gang, allowed = chance.choice((1, 2, 3)), chance.randint(1, 4)
    world, path = World(faults=allowed, toggles=chance.randint(0, 2)), []
    for step in range(10 * steps):
        own = list(operator_moves(world, gang))
        if not own and world.view == world.cluster:
            check_idle(world)
            if world.finished and step >= steps:
                return world, path
        usual = [*own, *own, *cluster_moves(world)]
        wrong = list(faults(world, EVERYTHING)) if step < steps and chance.random() < 0.3 else []
        if not (ways := wrong or usual):
            return world, path
        name, after = chance.choice(ways)
        path.append(name)
        check_step(name, world, after, allowed=allowed)
        check_state(after)
        world = after
    return world, path


@pytest.mark.parametrize(
    "seeds", [range(125), pytest.param(range(125, 5000), marks=pytest.mark.full)], ids=["few", "many"]
)
def test_no_walk_through_a_real_cluster_breaks_what_must_hold(seeds: range) -> None:
    for seed in seeds:
        try:
            world, path = walk(seed)
        except AssertionError as error:
            raise AssertionError(f"walk {seed}: {error}") from error
        assert world.finished, f"walk {seed} does not come to an end: {path[-20:]} {world}"
