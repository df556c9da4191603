"""Lets servers and comparators of local sessions be forks of one process that has imported them: their imports are five seconds of work each.

`with_forked_servers(monkeypatch)` makes `python -m tuneloop_server` of a session's pod ask this process for a fork (`forked_warm/sitecustomize.py`).
The asking process stays: it is the pod's process, passes SIGTERM on, and ends as the fork does; with it ends the fork. How a server starts by
itself is tested where nobody asks for this.

Run as a program, this file is the process that is forked from.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import pytest

VARIABLE = "FORKED_SERVERS_OF_TESTS"
"""The socket of the process that is forked from."""
_HOOK = Path(__file__).parent / "forked_warm"
_ROOT = Path(__file__).parents[2]
_READ_AT_IMPORT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Variables that libraries read when they are imported. A deployment must give OMP_NUM_THREADS this value itself."""
_MODULES = (
    "tuneloop_server.__main__",
    "tuneloop_server.comparator.__main__",
    "tuneloop_server.runtimes.torch_model",
    "tuneloop_server.runtimes.packed_linear",
    "transformers.models.bert.modeling_bert",
    "transformers.models.auto.tokenization_auto",
)
_CONNECTIONS: list[socket.socket] = []
"""The connection with whose end the process that is forked from ends."""
_PR_SET_PDEATHSIG = 1


def with_forked_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sessions of this test have forked servers."""
    inherited = os.environ.get("PYTHONPATH", f"{_ROOT}/api{os.pathsep}{_ROOT}/server")
    monkeypatch.setenv(VARIABLE, _socket())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(_HOOK), inherited)))


@cache
def _socket() -> str:
    """Start the process that is forked from, which ends with this one; return its socket."""
    path = Path(tempfile.mkdtemp(prefix="tuneloop-servers-")) / "socket"
    ours, theirs = socket.socketpair()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen(64)
    command = [sys.executable, __file__, str(listener.fileno()), str(theirs.fileno())]
    environment = os.environ | {"PYTHONPATH": f"{_ROOT}/api:{_ROOT}/server"} | _READ_AT_IMPORT
    descriptors = [listener.fileno(), theirs.fileno()]
    subprocess.Popen(command, env=environment, pass_fds=descriptors, stdin=subprocess.DEVNULL, start_new_session=True)
    listener.close()
    theirs.close()
    _CONNECTIONS.append(ours)
    return str(path)


# ---- in the process that is forked from -----------------------------------------------------------------------------------------------


def _serve(listener: socket.socket, client: socket.socket) -> None:
    for module in _MODULES:
        importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while client not in select.select([listener, client], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            client.close()
            _keep(connection)
        connection.close()
    shutil.rmtree(Path(listener.getsockname()).parent)


def _keep(connection: socket.socket) -> NoReturn:
    """Be the parent of a server: say its process id and then its exit status, and end it when the process that asked for it is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 3)
    if (pid := os.fork()) == 0:
        connection.close()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _be(**json.loads(data), descriptors=descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    ending = os.pidfd_open(pid)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(str(pid).encode())
        if connection in select.select([connection, ending], [], [])[0]:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        connection.send(str(status).encode())
    os._exit(0)


def _be(
    *, program: str, arguments: list[str], environment: dict[str, str], directory: str, descriptors: list[int]
) -> NoReturn:
    """Be the program, as `python -m` would."""
    os.setsid()
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program, *arguments]
    status: Any = 1
    try:
        status = sys.modules[f"{program}.__main__"].main()
    except SystemExit as asked:
        status = asked.code
    except BaseException:  # noqa: BLE001  (as an interpreter does that ends with an exception)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
