"""The warm trainer of a session: a process that has imported the trainer's libraries, and forks a process for each stage.

The protocol is that of `tuneloop_trainer.warm.fork_server`: lines of JSON on its stdin and stdout.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tuneloop_cli.local.processes import launch
from tuneloop_cli.local.processes.processes import POD_UID_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_TRAINER = (sys.executable, "-m", "tuneloop_trainer")
_KILLED = -int(signal.SIGKILL)


class ForkedProcess:
    """A process that the warm trainer has forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        """None while the process runs; -N after signal N."""
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Wait for the end; return the return code."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; none if the process has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, code: int) -> None:
        """Record the end."""
        self.returncode = code
        self._ended.set()


class WarmTrainer:
    """Starts the warm process at the first request, and again after its end. Use it in the main thread: the process ends with its thread."""

    def __init__(self, *, home: Path) -> None:
        """`home`: HOME of the warm process, for the caches of libraries and its own output."""
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._asked: asyncio.Future[ForkedProcess | None] | None = None
        self._running: dict[int, ForkedProcess] = {}
        self._lock = asyncio.Lock()

    @staticmethod
    def knows(command: Sequence[str]) -> bool:
        """Whether this is a command of the trainer."""
        return tuple(command[: len(_TRAINER)]) == _TRAINER

    async def start(
        self, command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, log: Path
    ) -> ForkedProcess | None:
        """Start a command of the trainer, with its output appended to `log`. Returns None if the warm process died: start the command itself."""
        request = {
            "arguments": command[len(_TRAINER) :],
            "environment": dict(environment),
            "directory": str(cwd),
            "log": str(log),
        }
        async with self._lock:
            process = self._process or await self._start_process(environment)
            self._asked = asyncio.get_running_loop().create_future()
            assert process.stdin is not None
            process.stdin.write(f"{json.dumps(request)}\n".encode())
            return await self._asked

    async def close(self) -> None:
        """End the warm process, and with it every process that it has forked."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
        if self._reader is not None:
            await self._reader

    async def _start_process(self, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
        self._home.mkdir(exist_ok=True)
        kept = {name: value for name, value in environment.items() if name != POD_UID_VARIABLE}
        with (self._home / "warm-trainer.log").open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", launch.__file__, str(os.getpid())),
                *(*_TRAINER[:2], "tuneloop_trainer.warm"),
                env=kept | {"HOME": str(self._home)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the session
            )
        self._process, self._reader = process, asyncio.create_task(self._read_answers(process))
        return process

    async def _read_answers(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            answer = json.loads(line)
            if "started" in answer:
                forked = self._running[answer["started"]] = ForkedProcess(answer["started"])
                self._reply(forked)
            else:
                self._running.pop(answer["ended"]).end(answer["code"])
        await process.wait()
        self._process = None
        self._reply(None)
        for forked in self._running.values():
            forked.end(_KILLED)
        self._running.clear()

    def _reply(self, forked: ForkedProcess | None) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(forked)
