"""Makes a program of ours a stand-in for a fork of a process that has imported it: it ends with the fork, and the fork with it.

`python -m tuneloop_trainer.warm` stands in for a fork of the process that `warm_forks` has started, and `python -m tuneloop_server` and its
comparator for one of the process of `forked_servers`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # every interpreter of these sessions begins here, and `typing` takes long
if TYPE_CHECKING:
    import socket


def _connection(path: str) -> socket.socket:
    import socket

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    connection.connect(path)
    return connection


def _ask(connection: socket.socket, **asked: object) -> None:
    """Ask for a fork with the environment, the folder and the output of this process."""
    import json
    import socket

    asked = {"environment": dict(os.environ), "directory": os.path.realpath(".")} | asked
    socket.send_fds(connection, [json.dumps(asked).encode()], [0, 1, 2])


def _end_as(status: bytes) -> None:
    """End as the fork did."""
    import signal

    code = os.waitstatus_to_exitcode(int(status or signal.SIGKILL))
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def _be_trainer(path: str) -> None:
    connection = _connection(path)
    _ask(connection)
    if connection.recv(16) != b"yes":
        return
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # the session reads the end of its pipes as the end of the warm trainer
        os.dup2(null, descriptor)
    _end_as(connection.recv(16))


def _be_server(path: str) -> None:
    import contextlib
    import signal

    connection = _connection(path)
    _ask(connection, program=sys.orig_argv[2], arguments=sys.orig_argv[3:])
    pid = int(connection.recv(16))

    def pass_on(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, number)

    signal.signal(signal.SIGTERM, pass_on)
    status = connection.recv(16)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_as(status)


if (_warm := os.environ.get("WARM_FORKS_OF_TESTS")) and sys.orig_argv[1:] == ["-m", "tuneloop_trainer.warm"]:
    _be_trainer(_warm)
_SERVERS = (["-m", "tuneloop_server"], ["-m", "tuneloop_server.comparator"])
if (_forked := os.environ.get("FORKED_SERVERS_OF_TESTS")) and sys.orig_argv[1:3] in _SERVERS:
    _be_server(_forked)
