"""A run that is killed or stopped resumes, and ends with the same weights as an uninterrupted run."""

from __future__ import annotations

import json
import os
import signal

import pytest
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, job_manifest, processes_of, until

pytestmark = pytest.mark.local_story

STEPS = 40
TRAINING = {"maxSteps": STEPS, "globalBatchSize": 16, "microBatchSize": 4, "learningRate": 1e-3}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = prepared(Workspace(tmp_path_factory.mktemp("unbroken")))
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return workspace


def prepared(workspace: Workspace) -> Workspace:
    tiny_bert(workspace.claim / "model")
    workspace.write_rows("rows.csv", sentences(400))
    workspace.write("job.yaml", job_manifest(training=TRAINING))
    return workspace


def outcome(workspace: Workspace) -> tuple[dict[int, str], list[dict], str]:
    """Return the losses, the evaluations during training, and the digest of the artifact (weights and test metrics)."""
    lines = map(json.loads, (workspace.job_folder() / "logs" / "train.jsonl").read_text().splitlines())
    evaluations = [line | {"seconds": None} for line in lines if line["kind"] == "evaluation"]
    return workspace.losses(), evaluations, workspace.job()["status"]["artifact"]["digest"]


@pytest.mark.full  # the storm kills commands, too
def test_three_kills_change_nothing(tmp_path, unbroken: Workspace) -> None:
    workspace = prepared(Workspace(tmp_path))
    starts = []
    for kill in range(3):
        before = max(workspace.committed(), default=0)
        process = workspace.start("run", "-f", "job.yaml", log=f"run-{kill}.log")
        until(
            lambda before=before: max(workspace.committed(), default=0) > before,
            seconds=90,
            what="a newer checkpoint",
            process=process,
        )
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not processes_of(tmp_path), seconds=10, what="the end of every process of the run")
        assert "(not running: tuneloop run -f … goes on)" in workspace.tuneloop("get").stdout
        starts.append(max(workspace.committed()))
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert outcome(workspace) == outcome(unbroken)
    history = workspace.job()["status"]["history"]
    assert [attempt["startStep"] for attempt in history][1:] == starts, history
    assert workspace.job()["status"]["resume"] == "exact"


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path, unbroken: Workspace) -> None:
    workspace = prepared(Workspace(tmp_path))
    process = workspace.start("run", "-f", "job.yaml", log="first.log")
    until(workspace.committed, seconds=90, what="a checkpoint", process=process)
    assert "not running" not in workspace.tuneloop("get").stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "Run the same command again to go on." in (tmp_path / "first.log").read_text()
    status = workspace.job()["status"]
    assert status["checkpoint"]["latest"]["step"] == status["history"][-1]["endStep"] == max(workspace.committed())
    assert status["usage"]["lostSteps"] == 0
    assert not processes_of(tmp_path)
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert outcome(workspace) == outcome(unbroken)


def test_a_change_that_has_nothing_to_do_with_training_loses_no_step(tmp_path, unbroken: Workspace) -> None:
    workspace = prepared(Workspace(tmp_path))
    process = workspace.start("run", "-f", "job.yaml", log="first.log")
    until(workspace.committed, seconds=90, what="a checkpoint", process=process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    step = max(workspace.committed())
    workspace.write("job.yaml", job_manifest(training=TRAINING, evaluation={"bootstrapSamples": 300}))
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"training goes on from step {step} (evaluation.bootstrapSamples: 200 → 300)" in ended.stdout
    assert workspace.losses() == unbroken.losses()
    assert workspace.job()["status"]["history"][0]["startStep"] == step
    again = workspace.tuneloop("run", "-f", "job.yaml")
    assert (again.returncode, "succeeded" in again.stdout) == (0, True)


def test_a_finished_run_is_not_done_again(unbroken: Workspace) -> None:
    log = unbroken.job_folder() / "logs" / "train.jsonl"
    before = log.stat().st_mtime_ns
    again = unbroken.tuneloop("run", "-f", "job.yaml")
    assert again.returncode == 0
    assert "succeeded" in again.stdout
    assert log.stat().st_mtime_ns == before


@pytest.mark.full  # `gangs/test_parity.py` compares the steps of every number of ranks
@pytest.mark.parametrize("nodes", [1, 3])
def test_the_number_of_nodes_does_not_change_the_losses(tmp_path, unbroken: Workspace, nodes: int) -> None:
    workspace = prepared(Workspace(tmp_path))
    workspace.write(
        "job.yaml",
        job_manifest(
            training={"maxSteps": STEPS, "globalBatchSize": 16, "microBatchSize": 4, "learningRate": 1e-3},
            resources={"nodes": nodes, "gpusPerNode": 0},
        ),
    )
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    ours, theirs = workspace.losses(), unbroken.losses()
    assert max(abs(float(ours[step]) - float(theirs[step])) for step in range(1, 21)) < 1e-6


def weights(workspace: Workspace, name: str) -> dict[str, str]:
    """Return the digests of the published weights."""
    manifest = json.loads((workspace.job_folder(name) / "artifact" / "manifest.json").read_text())
    return {file["path"]: file["sha256"] for file in manifest["files"] if file["path"].endswith(".safetensors")}


def test_another_job_reuses_the_data_and_goes_on_from_a_checkpoint_of_one_that_was_given_up(
    tmp_path, unbroken: Workspace
) -> None:
    workspace = prepared(Workspace(tmp_path))
    process = workspace.start("run", "-f", "job.yaml", log="given-up.log")
    until(workspace.committed, seconds=90, what="a checkpoint", process=process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not processes_of(tmp_path), seconds=10, what="the end of every process of the run")
    origin = f"pvc://{CLAIM}/jobs/{workspace.job_folder().name}"
    manifest = job_manifest(training=TRAINING, checkpoint={"everySteps": 5, "resumeFrom": origin})
    workspace.write("again.yaml", manifest | {"metadata": {"name": "again"}})
    ended = workspace.tuneloop("run", "-f", "again.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    losses = workspace.losses("again")
    assert min(losses) > max(5, max(workspace.committed()) - 5)
    assert losses == {step: loss for step, loss in unbroken.losses().items() if step >= min(losses)}
    assert weights(workspace, "again") == weights(unbroken, "reviews")
    assert workspace.job("again")["status"]["resume"] == "exact"
    assert len(list((workspace.claim / "datasets").iterdir())) == 1
    assert json.loads((workspace.job_folder("again") / "prepare.json").read_text())["cacheHit"] is True
