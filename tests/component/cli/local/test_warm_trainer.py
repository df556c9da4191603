"""The warm trainer: each of its forks is for the kernel and for others what a started command is, and a command starts without it, too."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import until

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_cli.local.processes.processes import POD_UID_VARIABLE
from tuneloop_cli.local.processes.warm_trainer import WarmTrainer

TRAINER = (sys.executable, "-m", "tuneloop_trainer")
UID = "0b2f6a52-8a1c-4d9b-9d36-1c9a3d1f7a10"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    "HOME": "/tmp/home-of-a-pod",
    POD_UID_VARIABLE: UID,
}
SECONDS = 120.0


class Warm:
    """A warm trainer in an event loop of its own, driven step by step."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.loop = folder, asyncio.new_event_loop()
        self.trainer = WarmTrainer(home=folder / "home")
        self.log = folder / "pod.log"
        self.blocked = folder / "run.json"
        """Reading this file blocks: a command that runs for ever."""
        os.mkfifo(self.blocked)

    def start(self, *arguments, **environment):
        asked = self.trainer.start(
            (*TRAINER, *map(str, arguments)), environment=ENVIRONMENT | environment, cwd=self.folder, log=self.log
        )
        return self.finish(asked)

    def finish(self, awaitable):
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, SECONDS))


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    warm = Warm(tmp_path_factory.mktemp("warm"))
    yield warm
    warm.finish(warm.trainer.close())
    warm.loop.close()


@pytest.fixture
def blocked(warm):
    """A command that waits for its configuration."""
    process = warm.start("prepare", warm.blocked)
    until(lambda: b"prepare" in words(process.pid), seconds=SECONDS, what="a fork with its own command line")
    yield process
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    warm.finish(process.wait())


def words(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


def variables(pid: int) -> dict[bytes, bytes]:
    block = Path(f"/proc/{pid}/environ").read_bytes()
    return dict(variable.split(b"=", 1) for variable in block.split(b"\0") if b"=" in variable)


def has_torch(pid: int) -> bool:
    return "libtorch_cpu" in Path(f"/proc/{pid}/maps").read_text()


def test_proc_shows_the_command_and_the_environment_of_the_pod(warm, blocked):
    assert words(blocked.pid) == [os.fsencode(word) for word in (*TRAINER, "prepare", str(warm.blocked))]
    shown = variables(blocked.pid)
    assert shown[POD_UID_VARIABLE.encode()] == UID.encode()
    assert {name.decode() for name in shown} == ENVIRONMENT.keys()


def test_a_fork_leads_a_session_in_its_own_working_directory_with_all_libraries(warm, blocked):
    assert os.getsid(blocked.pid) == blocked.pid
    assert Path(f"/proc/{blocked.pid}/cwd").resolve() == warm.folder.resolve()
    open_files = {number: str(Path(f"/proc/{blocked.pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
    assert open_files == {0: os.devnull, 1: str(warm.log), 2: str(warm.log)}
    assert has_torch(blocked.pid)


def test_a_signal_ends_a_fork_and_is_its_return_code(warm, blocked):
    blocked.send_signal(signal.SIGTERM)
    assert warm.finish(blocked.wait()) == -signal.SIGTERM
    blocked.send_signal(signal.SIGTERM)  # once more does no harm


def test_the_exit_code_and_the_output_are_those_of_the_started_command(warm):
    warm.log.unlink(missing_ok=True)
    code = warm.finish(warm.start("prepare", warm.folder / "absent.json").wait())
    started = warm.finish(_started(warm.folder))
    assert (code, warm.log.read_bytes()) == started


async def _started(folder: Path) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *(*TRAINER, "prepare", str(folder / "absent.json")),
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output


def test_a_command_with_another_variable_that_libraries_read_at_their_import_gets_a_fresh_interpreter(warm):
    process = warm.start("prepare", warm.blocked, HF_HOME="/tmp/elsewhere")
    try:
        # /proc shows no variable at all for the moment in which the kernel loads the new program.
        until(
            lambda: not has_torch(process.pid) and variables(process.pid), seconds=SECONDS, what="a fresh interpreter"
        )
        assert variables(process.pid)[b"HF_HOME"] == b"/tmp/elsewhere"
    finally:
        process.send_signal(signal.SIGKILL)
        assert warm.finish(process.wait()) == -signal.SIGKILL


def test_commands_of_others_are_not_for_the_warm_trainer():
    assert WarmTrainer.knows((*TRAINER, "prepare", "run.json"))
    assert not WarmTrainer.knows((sys.executable, "-m", "tuneloop_server"))
    assert not WarmTrainer.knows(("sh", "-c", "true"))


def test_the_death_of_the_warm_process_kills_its_forks_and_the_next_command_gets_a_new_one(warm, blocked):
    os.kill(parent(blocked.pid), signal.SIGKILL)
    assert warm.finish(blocked.wait()) == -signal.SIGKILL
    until(lambda: not Path(f"/proc/{blocked.pid}").exists(), seconds=SECONDS, what="the end of the fork")
    process = warm.start("prepare", warm.folder / "absent.json")
    assert warm.finish(process.wait()) == ExitCode.CONFIG


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_warm_process_that_cannot_import_the_trainer_is_no_reason_to_fail(tmp_path):
    warm = Warm(tmp_path)
    assert warm.start("prepare", warm.blocked, PYTHONPATH=str(tmp_path), PYTHONHOME=str(tmp_path)) is None
    warm.finish(warm.trainer.close())
    warm.loop.close()
