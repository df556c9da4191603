"""Starts programs of ours as forks of a process that has imported them: the imports of a model server take five seconds of work, a fork none.

A fork has a log, a process id, signals and a limit of files of its own; its environment is the same for all. It begins with the program's
`main`: how a program imports, and what it does meanwhile, is tested with `subprocess` instead. Run as a program, this file is the process that
is forked from.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = {
    "PYTHONPATH": f"{_ROOT}/api:{_ROOT}/server",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",  # read when the library is imported; the server sets it before that
    "TOKENIZERS_PARALLELISM": "false",
}
_PR_SET_PDEATHSIG = 1


@dataclass
class Fork:
    """A running program, with the methods of `subprocess.Popen` that tests use."""

    pid: int
    _ending: int
    """Read end of a pipe, on which the exit status comes."""
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, the number of a signal below zero; None while it runs."""
        return self._status(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended. Raises subprocess.TimeoutExpired."""
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"the fork {self.pid}", timeout or 0.0)
        return status

    def _status(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._ending], [], [], seconds)[0]:
            self.returncode = int(_line(self._ending))
            os.close(self._ending)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM, if it still runs."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)


def fork(program: str, *arguments: str, log: Path, with_modules: Sequence[str] = (), files: int | None = None) -> Fork:
    """Start a program with an empty log; it ends with this process at the latest.

    program: the module with its `main`. with_modules: what else has been imported. files: that it may open, without a right to more.
    """
    log.write_bytes(b"")
    start = {"program": program, "arguments": arguments, "log": str(log), "files": files}
    ending, ends = os.pipe()
    connection, _ = _server((program, *with_modules))
    socket.send_fds(connection, [json.dumps(start).encode()], [ends])
    os.close(ends)
    return Fork(int(_line(ending)), ending)


@cache
def _server(modules: tuple[str, ...]) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a process to fork from; returns the connection with whose end it ends, and the process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(theirs.fileno()), *modules]
    environment = os.environ | _ENVIRONMENT
    process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    return ours, process


def _line(pipe: int) -> str:
    line = b""
    while not line.endswith(b"\n"):
        line += (read := os.read(pipe, 1))
        assert read, "the process that programs are forked from has ended"
    return line.decode()


# ---- in the process that is forked from -----------------------------------------------------------------------------------------------


def _serve(connection: socket.socket, modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who keeps a program is waited for by nobody
    while True:
        data, pipes, *_ = socket.recv_fds(connection, 2**16, 1)
        if not data:
            return
        if os.fork() == 0:
            connection.close()
            _keep(json.loads(data), pipes[0])
        os.close(pipes[0])


def _keep(start: dict[str, Any], pipe: int) -> NoReturn:
    """Start a program, and say its process id and then its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _end_with_parent()
    if (pid := os.fork()) == 0:
        os.close(pipe)
        _end_with_parent()
        _be(**start)
    os.write(pipe, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _be(*, program: str, arguments: Sequence[str], log: str, files: int | None) -> NoReturn:
    """Be the program."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    if files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    sys.argv = [program, *arguments]
    try:
        status = sys.modules[program].main()
    except SystemExit as asked:
        status = asked.code
    except BaseException:  # noqa: BLE001  (as an interpreter does that ends with an exception)
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
