"""What stories start are stand-ins for forks: a stand-in imports nothing, and begins and ends with its fork, for all who look."""

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
import stand_ins
from comparator_process import Comparator, comparator_config, is_ready
from endless_jobs import running_job, workspace_with
from fork_server import inherited
from free_ports import free_ports
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
        self.environment = inherited() | stand_ins.of_sessions() | OF_PODS | environment
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


@pytest.mark.parametrize("variables", [{"HF_HOME": "/tmp/elsewhere"}, stand_ins.NONE], ids=["HF_HOME", "none"])
def test_another_environment_gets_a_warm_trainer_that_imports_everything_itself(tmp_path, variables):
    with Warm(tmp_path, **variables) as warm:
        until(lambda: has_torch(warm.process.pid), seconds=SECONDS, what="torch in the process that was started")


@pytest.fixture
def stand_in(tmp_path):
    """Starts programs that are stand-ins, and ends them."""
    started = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *words]
        environment = inherited() | stand_ins.of_command_lines() | OF_PODS
        started.append(
            subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_a_signal_is_for_the_fork_and_its_exit_code_for_who_sent_it(stand_in, tmp_path):
    config = comparator_config(*free_ports(2))
    (tmp_path / "comparator.json").write_text(json.dumps(config.to_wire()))
    process = stand_in("tuneloop_server.comparator", "--config", str(tmp_path / "comparator.json"))
    comparator = Comparator(process, config, tmp_path / "comparator.json")
    until(lambda: is_ready(comparator), seconds=SECONDS, what="a comparator")
    assert len(processes_of(tmp_path)) == 2, "the stand-in, and the fork"
    process.terminate()
    assert process.wait(SECONDS) == 0, "it ends its work first"
    assert processes_of(tmp_path) == []


def test_a_model_server_is_a_fork_with_torch_and_ends_with_what_was_started(stand_in, tmp_path):
    os.mkfifo(tmp_path / "server.json")
    process = stand_in("tuneloop_server", str(tmp_path / "server.json"))
    pids = until(lambda: two_of(processes_of(tmp_path)), seconds=SECONDS, what="the stand-in, and the fork")
    (fork,) = pids - {process.pid}
    assert (has_torch(fork), has_torch(process.pid)) == (True, False)
    process.kill()
    until(lambda: is_gone(fork), seconds=SECONDS, what="the end of the fork")


def two_of(commands: list[str]) -> set[int]:
    return {int(command.split()[0]) for command in commands} if len(commands) == 2 else set()


@pytest.mark.parametrize("words", [["--help"], ["get", "ftj", "absent"]], ids=" ".join)
def test_a_command_line_prints_and_ends_as_one_that_imported_everything_itself(stand_in, tmp_path, words):
    process = stand_in("tuneloop_cli", *words)
    output, errors = process.communicate(timeout=SECONDS)
    plain = Workspace(tmp_path).tuneloop(*words, **stand_ins.NONE)
    assert (process.returncode, output.decode(), errors.decode()) == (plain.returncode, plain.stdout, plain.stderr)
