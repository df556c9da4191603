"""Whatever breaks a run, it goes on and ends with the same bits as an unbroken one; real ranks under the real supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from forked_gangs import run_gangs
from free_ports import free_port
from prepared_runs import training_run, write_run

from tuneloop_api.contract.run_config import Rendezvous, RunConfig
from tuneloop_api.wire.model import changed

DEADLINE = 90.0
STEPS = 120


def config_of(folder: Path, *, tiny_model: Path, dataset: Path, ranks: int = 2, **settings) -> RunConfig:
    folder.mkdir(exist_ok=True)
    training = {
        "maxSteps": STEPS,
        "globalBatchSize": 16,
        "microBatchSize": 8,
        "learningRate": 3e-3,
        "bestMetric": "accuracy",
    }
    training |= {"evaluateEvery": {"steps": 30}} | settings.pop("training", {})
    return training_run(
        folder,
        model=tiny_model,
        dataset=dataset,
        training=training,
        gang={"nodes": 1, "gpusPerNode": 0, "processesPerNode": ranks},
        **{"method": {"type": "full"}, "checkpoint": {"everySteps": 20, "graceSeconds": 60}} | settings,
    )


def start(config: RunConfig, *, attempt: int) -> subprocess.Popen:
    """Start the supervisor for one attempt."""
    config = changed(config, attempt=attempt, rendezvous=Rendezvous(address="127.0.0.1", port=free_port()))
    run_json = write_run(config, Path(config.paths.job_dir).parent / f"run-{attempt}.json")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tuneloop_trainer", "supervise", str(run_json)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(pod: subprocess.Popen) -> int:
    output, _ = pod.communicate(timeout=DEADLINE)
    print(output)
    return pod.returncode


def wait_for_checkpoint(config: RunConfig, after: int) -> int:
    """Wait until a checkpoint of a later step was committed; returns its step."""
    deadline = time.monotonic() + DEADLINE
    while (newest := max(saved_steps(config), default=0)) <= after:
        assert time.monotonic() < deadline, "no new checkpoint in time"
        time.sleep(0.02)
    return newest


def saved_steps(config: RunConfig) -> list[int]:
    folders = Path(config.paths.job_dir, "checkpoints").glob("step-*-a?")
    return sorted(int(path.name.split("-")[1]) for path in folders)


def log_lines(config: RunConfig, kind: str) -> list[dict]:
    lines = map(json.loads, Path(config.paths.job_dir, "logs", "train.jsonl").read_text().splitlines())
    return [
        {name: value for name, value in line.items() if not name.endswith("seconds")}
        for line in lines
        if line["kind"] == kind
    ]


def result_of(config: RunConfig) -> dict:
    return json.loads(Path(config.paths.job_dir, "train.json").read_text())


def digests(config: RunConfig) -> dict[str, str]:
    job = Path(config.paths.job_dir)
    files = [job / "weights" / "trainable.safetensors", *(job / "predictions").glob("*.safetensors")]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


def termination(config: RunConfig) -> dict:
    return json.loads(Path(config.paths.termination_message).read_text())


@pytest.mark.full  # tests/stories/local kills and stops runs in the same way, through the command line
def test_a_killed_and_a_preempted_run_end_like_an_unbroken_one(tmp_path, tiny_model, dataset):
    unbroken = config_of(tmp_path / "unbroken", tiny_model=tiny_model, dataset=dataset)
    run_gangs([write_run(unbroken, tmp_path / "run.json")])
    broken = config_of(tmp_path / "broken", tiny_model=tiny_model, dataset=dataset)

    pod = start(broken, attempt=1)
    killed_after = wait_for_checkpoint(broken, 0)
    pod.kill()
    pod.communicate()
    pod = start(broken, attempt=2)
    wait_for_checkpoint(broken, killed_after)
    pod.send_signal(signal.SIGTERM)
    assert end(pod) == 79
    assert termination(broken)["outcome"] == "Preempted"
    assert end(start(broken, attempt=3)) == 0

    assert result_of(broken)["resume"] == "exact"
    assert result_of(broken)["startStep"] >= killed_after
    assert log_lines(broken, "step") == log_lines(unbroken, "step")
    assert log_lines(broken, "evaluation") == log_lines(unbroken, "evaluation")
    assert digests(broken) == digests(unbroken)


def test_a_pod_that_waits_for_its_gang_leaves_at_once_when_it_is_asked_to(tmp_path, tiny_model, dataset):
    config = config_of(tmp_path, tiny_model=tiny_model, dataset=dataset)
    gang = changed(config.settings.gang, nodes=2, processes_per_node=1)  # the other node never comes
    config = changed(config, settings=changed(config.settings, gang=gang))
    pod = start(config, attempt=1)
    wait_for_listener(json.loads((tmp_path / "run-1.json").read_text())["rendezvous"]["port"])
    pod.send_signal(signal.SIGTERM)
    assert end(pod) == 143
    message = termination(config)
    assert message["failureClass"] == "Preempted"
    assert (
        message["message"] == "rank 0 was asked to stop before it had begun"
    )  # it was not killed after the grace period


def wait_for_listener(port: int) -> None:
    """Wait until somebody listens on a port of this machine."""
    deadline = time.monotonic() + DEADLINE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "the rank does not wait for its gang"
        time.sleep(0.05)
