"""Starts programs of ours as forks of a process that has imported them: the imports of a model server take five seconds of work, a fork none.

A fork does what `python -m PROGRAM` does, with an environment, a log, a process id and signals of its own. How a program imports, and what it does
meanwhile, is tested with `subprocess` instead. The process that is forked from is `forking.py`; `stand_ins` lets programs of ours start forks, too.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOM = "TUNELOOP_ROOM"
"""A variable that makes room for the environments of forks: /proc shows a block of memory whose size is fixed at the start."""
_ROOM_FOR_ARGUMENTS, _ROOM_FOR_ENVIRONMENT = 2048, 8192
_SET_BY_LIBRARIES = {"PYTORCH_NVML_BASED_CUDA_CHECK", "TORCHINDUCTOR_CACHE_DIR"}
"""Variables that torch and DeepSpeed set in a process that imports them, as a test may do."""
_MOST_BYTES = 1 << 20
_LOCK = threading.Lock()
"""Tests start programs in several threads."""
_CONNECTIONS: list[socket.socket] = []
"""Those with whose end the processes that are forked from end."""


@dataclass(frozen=True)
class Preloaded:
    """A process to fork from: it imports the modules when the first fork is asked for."""

    modules: tuple[str, ...]
    python_path: str
    variables: tuple[tuple[str, str], ...] = ()
    """What libraries read when they are imported, and what a fork has besides what is asked for."""
    shows_command: bool = False
    """Whether /proc shows a fork's own command and environment; it costs the import of torch where OMP_NUM_THREADS is set."""


@dataclass
class Fork:
    """A running program, with the methods of `subprocess.Popen` that tests use."""

    pid: int
    _pidfd: int
    _connection: socket.socket
    """The exit status comes on it."""
    returncode: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> int | None:
        """Return the exit status, the number of a signal below zero; None while it runs."""
        with self._lock:
            if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
                self.returncode = int(self._connection.recv(16) or -signal.SIGKILL)
                os.close(self._pidfd)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended. Raises subprocess.TimeoutExpired."""
        if self.poll() is None:
            select.select([self._connection], [], [], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(f"the fork {self.pid}", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with self._lock:
            if self.returncode is None:
                _send(self._pidfd, number)

    def terminate(self) -> None:
        """Send SIGTERM, if it still runs."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)


def _send(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def fork(
    preloaded: Preloaded,
    program: str,
    *arguments: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    files: int | None = None,
) -> Fork:
    """Start a program; its output is added to the log. It ends with this process at the latest.

    environment: by default that of the process that is forked from. files: that it may open, without a right to more.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_BYTES)
    connection.connect(address(preloaded))
    asked = {
        "words": [sys.executable, "-m", program, *arguments],
        "environment": None if environment is None else dict(environment),
        "files": files,
    }
    null, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    socket.send_fds(connection, [json.dumps(asked).encode()], [null, output, output])
    for descriptor in (null, output):
        os.close(descriptor)
    pid, pidfds, *_ = socket.recv_fds(connection, 16, 1)
    assert pidfds, f"{program} was not started: {pid!r}"
    return Fork(int(pid), pidfds[0], connection)


def inherited() -> dict[str, str]:
    """Return the variables of this process without those that libraries have set in it."""
    return {name: value for name, value in os.environ.items() if name not in _SET_BY_LIBRARIES}


def address(preloaded: Preloaded) -> str:
    """Return the socket of a process to fork from, which ends with this one."""
    with _LOCK:
        return _address(preloaded)


@cache
def _address(preloaded: Preloaded) -> str:
    path = str(Path(tempfile.mkdtemp(prefix="tuneloop-forks-")) / "socket")
    ours, theirs = socket.socketpair()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(64)
    settings = {
        "listener": listener.fileno(),
        "client": theirs.fileno(),
        "modules": preloaded.modules,
        "variables": dict(preloaded.variables),
        "shows_command": preloaded.shows_command,
        "room": ROOM,
    }
    own = {name: value for name, value in inherited().items() if name != "OMP_NUM_THREADS"}
    subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forking.py")), json.dumps(settings), " " * _ROOM_FOR_ARGUMENTS],
        env=own | dict(preloaded.variables) | {"PYTHONPATH": preloaded.python_path, ROOM: " " * _ROOM_FOR_ENVIRONMENT},
        pass_fds=[listener.fileno(), theirs.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    listener.close()
    theirs.close()
    _CONNECTIONS.append(ours)
    return path
