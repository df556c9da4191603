"""The process that sessions of the stories fork their warm trainers from: what asks it for one begins and ends with its fork, for all who look."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest
import warm_forks
from endless_jobs import running_job, workspace_with
from tiny_models import tiny_bert
from waiting import LEAST_SECONDS
from workspace import Workspace, processes_of, until

from tuneloop_api.contract.exit_codes import ExitCode

OF_PODS = {"CUDA_VISIBLE_DEVICES": "", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
SECONDS = LEAST_SECONDS


class Warm:
    """`python -m tuneloop_trainer.warm`, as a session starts it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        self.environment = warm_forks.inherited() | warm_forks.environment() | OF_PODS | environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop_trainer.warm"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def start(self, *arguments: str) -> int:
        """Start a command of the trainer and return its process id."""
        request = {
            "arguments": arguments,
            "environment": self.environment,
            "directory": str(self._folder),
            "log": str(self._folder / "log"),
        }
        self.process.stdin.write(f"{json.dumps(request)}\n".encode())
        self.process.stdin.flush()
        return self.answer()["started"]

    def answer(self) -> dict[str, int]:
        assert select.select([self.process.stdout], [], [], SECONDS)[0]
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def warm(tmp_path):
    with Warm(tmp_path) as warm:
        yield warm


@pytest.fixture
def endless(warm, tmp_path):
    """A command that waits for its configuration."""
    os.mkfifo(tmp_path / "run.json")
    return warm.start("prepare", str(tmp_path / "run.json"))


def has_torch(pid: int) -> bool:
    return "libtorch_cpu" in Path(f"/proc/{pid}/maps").read_text()


def parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return None


def children(pid: int) -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if parent(int(path.name)) == pid]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_what_asks_for_a_warm_trainer_imports_nothing_and_its_stages_have_everything(warm, endless):
    assert has_torch(endless)
    assert not has_torch(warm.process.pid)
    assert parent(endless) != warm.process.pid


def test_a_session_of_a_story_has_its_stages_without_importing_anything(tmp_path):
    """Its pods have all the variables that the operator gives them: another one would have to be known to the process that is forked from."""
    workspace = workspace_with(tiny_bert(tmp_path / "model"), tmp_path / "workspace")
    with running_job(workspace) as session:
        until(lambda: stages(workspace), seconds=SECONDS, what="a stage", process=session)
        assert [pid for pid in children(session.pid) if has_torch(pid)] == []


def stages(workspace: Workspace) -> list[str]:
    return [command for command in processes_of(workspace.path) if "tuneloop_trainer" in command]


def test_a_stage_ends_as_one_of_a_warm_trainer_that_started_itself(warm, tmp_path):
    started = warm.start("prepare", str(tmp_path / "absent.json"))
    assert warm.answer() == {"ended": started, "code": ExitCode.CONFIG}
    assert "absent.json" in (tmp_path / "log").read_text()


def test_with_the_process_that_asked_everything_ends(warm, endless):
    warm.process.send_signal(signal.SIGKILL)
    until(lambda: is_gone(endless), seconds=SECONDS, what="the end of the stage")


def test_with_the_warm_trainer_the_process_that_asked_ends(warm, endless):
    os.kill(parent(endless), signal.SIGKILL)
    assert warm.process.wait(SECONDS) == -signal.SIGKILL


def test_the_end_of_the_session_ends_the_warm_trainer(warm):
    warm.process.stdin.close()
    assert warm.process.wait(SECONDS) == 0


@pytest.mark.parametrize("variables", [{"HF_HOME": "/tmp/elsewhere"}, warm_forks.NONE], ids=["HF_HOME", "none"])
def test_another_environment_gets_a_warm_trainer_that_imports_everything_itself(tmp_path, variables):
    with Warm(tmp_path, **variables) as warm:
        until(lambda: has_torch(warm.process.pid), seconds=SECONDS, what="torch in the process that was started")
