"""A job under many faults (signals, full disks, lost files) ends with the same result, and its page lists every fault's attempt."""

from __future__ import annotations

import json
import random
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from gang_faults import members, small_disk, stored_job
from prepared_runs import DEMO, movie_sentences
from stories_at_once import at_once, running_at_once
from storm import can_fill_disks, schedule, weather
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, job_manifest, until

if TYPE_CHECKING:
    from storm import Strike

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.local_story, pytest.mark.timeout(1800)]

STEPS = 300
STRIKES = 4
SECONDS = 600.0
"""The longest storm, with a second storm beside it."""
ROOM = Semaphore(2)
"""The number of storms at a time."""
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 34))]
JOB = job_manifest(
    training={
        "maxSteps": STEPS,
        "globalBatchSize": 16,
        "microBatchSize": 4,
        "learningRate": 1e-3,
        "evaluateEvery": {"steps": 50},
    },
    checkpoint={"everySteps": 20},
    failurePolicy={"hangTimeout": "20s", "maxRestarts": 5},
)


@dataclass(frozen=True)
class Stage:
    """The inputs of a storm, and its expected outcome."""

    workspace: Workspace
    inputs: Path
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def running_stories(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    unbroken = Workspace(tmp_path_factory.mktemp("unbroken"))
    inputs = tmp_path_factory.mktemp("inputs")
    made = Workspace(inputs)
    tiny_bert(made.claim / "model")
    made.write_rows("rows.csv", rows())
    shutil.copytree(made.claim, unbroken.claim)
    unbroken.write("job.yaml", JOB)
    ended = unbroken.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    expected = outcome(unbroken)

    def stage() -> Stage:
        return Stage(Workspace(tmp_path_factory.mktemp("storm")), made.claim, expected)

    with running_at_once(request, stage) as futures:
        yield futures


def rows() -> list[tuple[str, str]]:
    return random.Random(0).sample(movie_sentences(), 400) if DEMO.is_dir() else sentences(400)


def outcome(workspace: Workspace) -> dict[str, Any]:
    """Return every step's loss digit for digit, and the digest of each file of the published model."""
    artifact = workspace.job_folder() / "artifact"
    manifest = json.loads((artifact / "manifest.json").read_text())
    weights = {file["path"]: file["sha256"] for file in manifest["files"] if file["path"].endswith(".safetensors")}
    assert weights
    return {"losses": workspace.losses(), "weights": weights}


@pytest.mark.parametrize("seed", SEEDS)
@at_once
def test_a_storm_changes_nothing(stage: Stage, seed: int) -> None:
    strikes = schedule(seed, strikes=STRIKES, steps=STEPS, disk=can_fill_disks())
    with ROOM:
        weather_changes_nothing(stage, JOB, strikes, megabytes=64, seconds=SECONDS)


@pytest.mark.full
@pytest.mark.timeout(4000)
@pytest.mark.parametrize("seed", range(1, 4))
def test_a_storm_over_the_demo_changes_nothing(tmp_path: Path, seed: int) -> None:
    demo = yaml.safe_load((ROOT / "examples/reviews/job.yaml").read_text().replace("demo", CLAIM))
    inputs, unbroken = tmp_path / "inputs", Workspace(tmp_path / "unbroken")
    shutil.copytree(DEMO, inputs, ignore=shutil.ignore_patterns("datasets", "jobs"))
    shutil.copytree(inputs, unbroken.claim)
    unbroken.write("job.yaml", demo)
    ended = unbroken.tuneloop("run", "-f", "job.yaml", timeout=1200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    expected = outcome(unbroken)
    stage = Stage(Workspace(tmp_path / "storm"), inputs, expected=expected)
    strikes = schedule(seed, strikes=2 * STRIKES, steps=max(expected["losses"]), disk=can_fill_disks())
    weather_changes_nothing(stage, demo, strikes, megabytes=3000, seconds=2400)


def weather_changes_nothing(
    stage: Stage, job: dict[str, Any], strikes: list[Strike], *, megabytes: int, seconds: float
) -> None:
    """Run the job to its end under the strikes, on a disk of this size; check its outcome, and that its page lists every attempt."""
    workspace, number = stage.workspace, len(strikes)
    with ExitStack() as stack:
        if can_fill_disks():
            stack.enter_context(small_disk(workspace.claim, megabytes=megabytes))
        shutil.copytree(stage.inputs, workspace.claim, dirs_exist_ok=True)
        workspace.write("job.yaml", job)
        storm = weather(workspace, strikes, seconds=seconds)
        happened = "\n".join(storm.log)
        until(lambda: not members(workspace.path), seconds=20, what=f"the end of every process after\n{happened}")
        assert len(storm.left) < number, "nothing happened"
        assert outcome(workspace) == stage.expected, happened
        found = stored_job(workspace)["status"]
        assert found["resume"] == "exact", happened
        page_tells_the_story(workspace.tuneloop("describe", "ftj", "reviews").stdout, found)


def page_tells_the_story(page: str, status: dict[str, Any]) -> None:
    for attempt in status["history"]:
        words = [str(attempt["attempt"]), str(attempt.get("startStep", "")), attempt.get("class", "")]
        line = next((line for line in page.splitlines() if line.split()[:1] == words[:1]), None)
        assert line is not None, f"attempt {attempt['attempt']} is not in\n{page}"
        assert all(word in line for word in words), f"{attempt} is not shown by {line!r}"
    assert f"step {status['checkpoint']['latest']['step']}" in page
    if status.get("failure"):
        assert status["failure"]["class"] in page
        assert " ".join(status["failure"]["hint"].split()) in " ".join(page.split())
