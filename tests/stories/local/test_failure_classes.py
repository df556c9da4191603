"""Each class of failure, provoked in a real gang: what the job's status says, and what the operator does."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from endless_jobs import POISON, manifest, poison_embedding, running_job, slow_down, status, workspace_with
from gang_faults import (
    ROOT_ONLY,
    fill,
    members,
    memory_group,
    ranks,
    small_disk,
    supervisors,
)
from stories_at_once import at_once, running_at_once
from tiny_models import sentences, tiny_bert
from workspace import Workspace, until

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.local_story

SECONDS = 100.0
"""The longest wait of a story while all stories run on two cores."""
ONE_NODE = {"nodes": 1, "gpusPerNode": 0}
TOO_LITTLE = 16 << 20
"""Bytes of memory; a rank writes to more while it loads and trains. What it only reads belongs to the process that it is a fork of."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason=ROOT_ONLY)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def running_stories(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory):
    with running_at_once(request, lambda: workspace_with(model, tmp_path_factory.mktemp("story"))) as futures:
        yield futures


# --- what fails at once ---


def without_labels(workspace: Workspace) -> None:
    workspace.write_rows("rows.csv", sentences(50), header=("text", "mood"))


def without_model(workspace: Workspace) -> None:
    shutil.rmtree(workspace.claim / "model")


@pytest.mark.parametrize(
    ("kind", "spoil", "spec", "word"),
    [
        pytest.param("Data", without_labels, {}, "label", id="data without labels"),
        pytest.param("ModelAccess", without_model, {}, "model", id="no model"),
        pytest.param(
            "Config", None, {"training": {"epochs": 1, "warmupSteps": 1000}}, "warmupSteps", id="settings that cannot work"
        ),
    ],
)  # fmt: skip
@at_once
def test_what_a_restart_cannot_mend_fails_at_once(
    workspace: Workspace, kind: str, spoil: Callable[[Workspace], None] | None, spec: dict[str, Any], word: str
) -> None:
    if spoil:
        spoil(workspace)
    workspace.write("job.yaml", manifest(**spec))
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    found = status(workspace)
    failure = found["failure"]
    assert (found["phase"], failure["class"], failure["stage"], failure["retryable"]) == (
        "Failed",
        kind,
        "prepare",
        False,
    )
    assert word in failure["message"]
    assert failure["hint"]
    assert not found.get("restarts", {}).get("total")


@at_once
def test_a_loss_that_is_not_finite_again_fails(workspace: Workspace) -> None:
    poison_embedding(workspace.claim / "model")
    rows = [row for row in sentences(300) if POISON not in row[0]]
    workspace.write_rows("rows.csv", [*rows, *[(f"{POISON} {text}", label) for text, label in rows[:3]]])
    spec = manifest(checkpoint={"everySteps": 1}, resources=ONE_NODE, preflight={"rehearsal": False})
    workspace.write("job.yaml", spec)
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    found = status(workspace)
    failure = found["failure"]
    assert (found["phase"], failure["class"], failure["stage"]) == ("Failed", "NonFiniteLoss", "train")
    assert "is nan" in failure["message"]
    assert "learningRate" in failure["hint"]
    assert any(failure["message"].split(" (")[0] in line for line in failure["lastLines"])


# --- what is started again ---


@as_root
@at_once
def test_a_full_disk_at_the_start_is_storage_and_room_mends_it(workspace: Workspace) -> None:
    aside = workspace.path / "aside"
    shutil.copytree(workspace.claim, aside)
    with small_disk(workspace.claim, megabytes=48) as disk:
        shutil.copytree(aside, disk, dirs_exist_ok=True)
        filler = fill(disk)
        with running_job(workspace, failurePolicy={"maxRestarts": 100}) as process:
            until(lambda: status(workspace).get("failure"), seconds=SECONDS, what="a failure", process=process)
            found = status(workspace)
            assert (found["failure"]["class"], found["failure"]["stage"]) == ("Storage", "prepare")
            assert "space" in found["failure"]["message"].lower()
            assert found["restarts"]["lastReason"] == "Storage"
            filler.unlink()
            until(lambda: status(workspace).get("data"), seconds=SECONDS, what="prepared data", process=process)


@as_root
@at_once
def test_a_rank_over_the_memory_limit_is_out_of_memory(workspace: Workspace) -> None:
    with (
        memory_group(f"tuneloop-{workspace.path.name}") as group,
        running_job(workspace, resources=ONE_NODE) as process,
    ):
        group.limit(TOO_LITTLE)
        until(lambda: len(members(workspace.path)) == 2, seconds=SECONDS, what="supervisor and rank", process=process)
        for member in members(workspace.path):
            group.take_in(member.pid)
        until(lambda: status(workspace).get("failure"), seconds=SECONDS, what="a failure", process=process)
        group.limit(None)
        found = status(workspace)
        failure = found["failure"]
        assert (failure["class"], failure["rank"], failure["exitCode"]) == ("OutOfMemoryHost", 0, 137)
        assert "memory" in failure["message"]
        assert "resources.memory" in failure["hint"]
        assert (found["restarts"]["failure"], found["restarts"]["lastReason"]) == (1, "OutOfMemoryHost")


NAMED_SECONDS = 300.0
"""The deadline for the finding that names the slow rank."""


@at_once
def test_a_rank_at_a_sixth_of_the_speed_is_named(workspace: Workspace) -> None:
    with running_job(workspace) as process:
        until(lambda: len(ranks(workspace.path)) == 2, seconds=SECONDS, what="two ranks", process=process)
        over = threading.Event()
        brake = threading.Thread(target=slow_down, args=(ranks(workspace.path)[1], over))
        brake.start()
        try:
            until(lambda: findings(workspace), seconds=NAMED_SECONDS, what="a finding", process=process)
        finally:
            over.set()
            brake.join()
        assert findings(workspace)["reason"] == "Straggler"
        assert findings(workspace)["message"].startswith("rank 1 takes ")


def findings(workspace: Workspace) -> dict[str, Any]:
    """Return the condition TrainingHealthy, or an empty mapping."""
    conditions = status(workspace).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == "TrainingHealthy"), {})


def cut_off(workspace: Workspace) -> None:
    """Silence a pod until its peers have reported: kill its rank, and stop its supervisor."""
    silent = supervisors(workspace.path)[1]
    silent.send(signal.SIGSTOP)
    ranks(workspace.path)[1].send(signal.SIGKILL)
    try:
        until(
            lambda: status(workspace)["failure"]["class"] == "Collective", seconds=SECONDS, what="a report of the peers"
        )
    finally:
        silent.send(signal.SIGCONT)


STRIKES: dict[str, tuple[Callable[[Workspace], None], dict[str, Any], str, str]] = {
    "a rank is killed": (
        lambda job: ranks(job.path)[1].send(signal.SIGKILL), {"class": "Unknown", "rank": 1, "exitCode": 137}, "SIGKILL", "failure",
    ),
    "a rank crashes": (
        lambda job: ranks(job.path)[0].send(signal.SIGSEGV), {"class": "Unknown", "rank": 0, "exitCode": 139}, "SIGSEGV", "failure",
    ),
    "a pod is killed": (
        lambda job: supervisors(job.path)[1].send(signal.SIGKILL), {"class": "Unknown", "exitCode": 137}, "exit code 137", "failure",
    ),
    "a pod goes silent": (
        cut_off, {"class": "Collective", "rank": 0, "exitCode": 77}, "peer", "failure",
    ),
    "a rank stands still": (
        lambda job: ranks(job.path)[1].send(signal.SIGSTOP), {"class": "Hang", "exitCode": 75}, "no step", "failure",
    ),
    "a pod is asked to leave": (
        lambda job: supervisors(job.path)[0].send(signal.SIGTERM), {"class": "Preempted", "exitCode": 79}, "asked to stop", "disruption",
    ),
}  # fmt: skip
"""A strike at a gang of two pods, the failure that the status shows, a word of its message, and the counter of the restart."""


@pytest.fixture(scope="module")
def struck(
    running_stories: object, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """Strike the same gang with each strike, always after a newer checkpoint; return the status after each strike."""
    workspace = workspace_with(model, tmp_path_factory.mktemp("struck"))
    statuses: dict[str, dict[str, Any]] = {}
    with running_job(workspace, failurePolicy={"hangTimeout": "15s"}) as process:
        wait = partial(until, seconds=SECONDS, process=process)
        for name, (strike, *_) in STRIKES.items():
            attempt, saved = status(workspace).get("attempt", 1), max(workspace.committed(), default=0)
            wait(lambda saved=saved: max(workspace.committed(), default=0) > saved, what="a newer checkpoint")
            wait(lambda: len(ranks(workspace.path)) == 2, what="two ranks")
            strike(workspace)
            wait(lambda attempt=attempt: status(workspace)["attempt"] > attempt, what=f"an attempt after: {name}")
            statuses[name] = status(workspace)
    return statuses.__getitem__


@pytest.mark.parametrize("strike", STRIKES)
def test_a_gang_that_was_struck_says_what_happened(struck, strike: str) -> None:
    _, expected, word, _ = STRIKES[strike]
    failure = struck(strike)["failure"]
    assert {name: failure.get(name) for name in expected} == expected, failure
    assert word in failure["message"]
    assert failure["hint"]
    assert failure["pod"]


@pytest.mark.parametrize("strike", STRIKES)
def test_a_gang_that_was_struck_is_started_again(struck, strike: str) -> None:
    _, expected, _, counts_as = STRIKES[strike]
    before = dict.fromkeys(("failure", "disruption"), 0)
    for name, (*_, counter) in STRIKES.items():
        before[counter] += 1
        if name == strike:
            break
    restarts = struck(strike)["restarts"]
    assert {name: restarts[name] for name in before} == before, counts_as
    assert restarts["lastReason"] == expected["class"]
