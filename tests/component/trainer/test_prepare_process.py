"""The program `prepare`: its result, its exit code, and its termination message."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from run_configs import run_config
from tiny_models import sentences, write_csv

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.results import PrepareResult, TerminationMessage

PACKAGES = [
    str(path)
    for path in map(Path, sys.path)
    if (path / "tuneloop_api").is_dir() or (path / "tuneloop_trainer").is_dir()
]


def start(tmp_path: Path, config: Any, *, stage: str = "prepare") -> subprocess.Popen[str]:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(config.to_wire()))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(PACKAGES), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tuneloop_trainer", stage, str(path)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def message_of(tmp_path: Path) -> TerminationMessage:
    return TerminationMessage.from_wire(json.loads((tmp_path / "termination.json").read_text()))


def test_the_program_leaves_its_result_and_a_termination_message(tmp_path, model):
    write_csv(tmp_path / "train.csv", sentences(400))
    process = start(tmp_path, run_config(tmp_path, model=model))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    message, written = message_of(tmp_path), (tmp_path / "job" / "prepare.json").read_bytes()
    assert message.outcome == "Succeeded"
    assert message.result.sha256 == hashlib.sha256(written).hexdigest()
    result = PrepareResult.from_wire(json.loads(written))
    assert message.prepare.counts == result.counts
    assert message.prepare.resolved == result.resolved


def test_a_users_mistake_ends_with_two_lines_and_the_codes_of_its_class(tmp_path, model):
    process = start(tmp_path, run_config(tmp_path, model=model))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == ExitCode.DATA
    error, hint = errors.splitlines()[-2:]
    assert error == f"error: data.train[0].uri: file://{tmp_path}/train.csv does not exist"
    assert hint.startswith(f"hint: {tmp_path} holds ")
    assert "Traceback" not in errors
    message = message_of(tmp_path)
    assert (message.outcome, message.failure_class, message.message) == (
        "Failed",
        "Data",
        error.removeprefix("error: "),
    )


def test_a_stopped_run_says_that_it_was_stopped_and_leaves_no_folder(tmp_path, model):
    os.mkfifo(tmp_path / "pipe.csv")  # opening it waits for a writer, so that the stop comes in the middle of reading
    (tmp_path / "train.csv").symlink_to(tmp_path / "pipe.csv")
    process = start(tmp_path, run_config(tmp_path, model=model))
    deadline = time.monotonic() + 60
    writer = None
    while writer is None and time.monotonic() < deadline and process.poll() is None:
        try:
            writer = os.open(tmp_path / "pipe.csv", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.02)
    assert writer is not None, process.communicate()[1]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    os.close(writer)
    assert process.returncode == ExitCode.PREEMPTED, errors
    assert (message_of(tmp_path).outcome, message_of(tmp_path).failure_class) == ("Preempted", "Preempted")
    assert list((tmp_path / "datasets").iterdir()) == []
