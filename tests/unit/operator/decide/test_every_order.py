"""The state machine of a job, explored: every order of operator, crash, kubelet, failure, deletion by hand and suspend, up to a bound."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from job_worlds import FAILURES, MORE_FAILURES, World, cluster_moves, faults, operator_moves, parsed


def check_state(world: World) -> None:
    pods = world.cluster[1]
    running = {pod.owner for pod in pods if pod.state == "running" and "-a" in pod.owner}
    assert len(running) <= 1, f"two live attempts: {running}"


def recorded_attempts(status: dict[str, Any]) -> set[int]:
    """Return the attempts whose Job is known to have been there. One that was deleted before that was noted looks like a lost create."""
    numbers = {record["attempt"] for record in status.get("history", ())}
    child = status.get("children", {}).get("train", {})
    return numbers | ({status["attempt"]} if child.get("uid") or child.get("ended") else set())


def check_step(before: World, after: World) -> None:
    made = Counter(after.created) - Counter(before.created)
    attempts = {int(name.rsplit("-a", 1)[-1]) for name in made if "-a" in name}
    again = attempts & recorded_attempts(parsed(before.status))
    assert not again, f"created a second time: attempts {again}"
    if before.status == after.status:
        return
    old, new = parsed(before.status), parsed(after.status)
    assert not before.finished or after.finished, "a finished job was opened again"
    assert new.get("attempt", 0) >= old.get("attempt", 0), "the attempt went back"
    for counter in ("total", "failure", "disruption"):
        then, now = (status.get("restarts", {}).get(counter, 0) for status in (old, new))
        assert now >= then, f"restarts.{counter} went back"


@dataclass
class Explored:
    worlds: set[World]
    before: dict[World, list[World]]
    """By world: those that lead to it without a fault."""
    ends: set[World]
    """Finished, with nothing left to do."""


def explore(*, faults_allowed: int, toggles: int, gang: int, failures: Iterable[str]) -> Explored:
    start = World(faults=faults_allowed, toggles=toggles)
    found = Explored(worlds={start}, before=defaultdict(list), ends=set())
    queue = deque([start])
    while queue:
        world = queue.popleft()
        check_state(world)
        own = list(operator_moves(world))
        if not own and world.view == world.cluster:
            check_settled(world)
            found.ends |= {world} if world.finished else set()
        for name, after in (*own, *cluster_moves(world, gang), *faults(world, failures)):
            check_step(world, after)
            if name not in {"suspend", "crash", "delete by hand", "imageless", *FAILURES, *MORE_FAILURES}:
                found.before[after].append(world)
            if after not in found.worlds:
                found.worlds.add(after)
                queue.append(after)
    return found


def check_settled(world: World) -> None:
    """Check a world in which the operator has nothing left to do."""
    holding = [job.name for job in world.cluster[0] if not job.outcome and not job.deleting]
    assert not (world.finished and holding), f"a finished job holds nodes: {holding}"
    assert not (world.suspend and holding), f"a suspended job holds nodes: {holding}"
    status = parsed(world.status)
    at_work = any(pod.state in {"running", "imageless"} for pod in world.cluster[1])
    is_over = status.get("phase") == "Suspended" and not at_work
    assert not (is_over and "runningSince" in status), f"what a suspended gang used is not counted: {world}"


def reaching(found: Explored) -> set[World]:
    """Return the worlds from which an end can be reached once faults have stopped."""
    reached, queue = set(found.ends), deque(found.ends)
    while queue:
        for world in found.before[queue.popleft()]:
            if world not in reached:
                reached.add(world)
                queue.append(world)
    return reached


@pytest.mark.parametrize(
    ("faults_allowed", "toggles", "gang", "failures"),
    [
        pytest.param(2, 0, 1, FAILURES, id="two faults"),
        pytest.param(1, 1, 1, FAILURES, id="a fault and a suspension"),
        pytest.param(1, 0, 2, FAILURES, id="a fault in a gang of two"),
        pytest.param(1, 1, 1, MORE_FAILURES, id="a fault that changes the next attempt, and a suspension"),
    ],
)
def test_whatever_happens_a_job_comes_to_an_end(
    faults_allowed: int, toggles: int, gang: int, failures: Iterable[str]
) -> None:
    found = explore(faults_allowed=faults_allowed, toggles=toggles, gang=gang, failures=failures)
    dead_ends = found.worlds - reaching(found)
    assert found.ends
    assert not dead_ends, min(dead_ends, key=lambda world: len(world.status))
