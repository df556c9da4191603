"""Lets sessions of local mode fork their warm trainer from one process that has imported the trainer: its imports are 8 s of work for each session.

`environment()` makes `python -m tuneloop_trainer.warm` ask this process for a fork instead of importing anything (`forked_warm/sitecustomize.py`).
The asking process stays: it is what the session kills, and what the kernel kills when the session dies. With it ends the fork, and with that every
stage. A session with another value of a variable that libraries read at their import starts its warm trainer itself, as does one whose
environment is `NONE`. How the warm trainer starts by itself is tested in `tests/component/cli/local/test_warm_trainer.py`.

Run as a program, this file is the process that is forked from.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

VARIABLE = "WARM_FORKS_OF_TESTS"
"""The socket of the process that is forked from."""
NONE = {VARIABLE: ""}
"""The environment of a session that starts its warm trainer itself."""
_CONNECTIONS: list[socket.socket] = []
"""The connection with whose end the process that is forked from ends."""
_OF_PODS = {"CUDA_VISIBLE_DEVICES": "", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
"""Variables that the operator and a session without GPUs give every training pod, and so the warm trainer, and that libraries may read."""
_SET_BY_LIBRARIES = {"PYTORCH_NVML_BASED_CUDA_CHECK", "TORCHINDUCTOR_CACHE_DIR"}
"""Variables that torch and DeepSpeed set in a process that imports them, as a test may do."""
_LOCK = threading.Lock()
_HOOK = Path(__file__).parent / "forked_warm"


def inherited() -> dict[str, str]:
    """Return the variables of this process without those that libraries have set in it."""
    return {name: value for name, value in os.environ.items() if name not in _SET_BY_LIBRARIES}


def environment() -> dict[str, str]:
    """Return the variables that a session needs; starts the process that is forked from, which ends with this one."""
    with _LOCK:
        return _environment()


@cache
def _environment() -> dict[str, str]:
    path = Path(tempfile.mkdtemp(prefix="tuneloop-warm-")) / "socket"
    python_path = os.pathsep.join(filter(None, (str(_HOOK), os.environ.get("PYTHONPATH"))))
    variables = {"PYTHONPATH": python_path, "HF_HUB_OFFLINE": "1"}
    ours, theirs = socket.socketpair()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen(64)
    _start(variables, listener, theirs)
    listener.close()
    theirs.close()
    _CONNECTIONS.append(ours)
    return variables | {VARIABLE: str(path)}


def _start(variables: dict[str, str], listener: socket.socket, client: socket.socket) -> None:
    """Start it as the warm trainer starts itself: with room for the command lines of forks, and its settings of malloc."""
    from tuneloop_trainer.supervisor.supervisor import KEEP_MEMORY
    from tuneloop_trainer.warm.__main__ import ROOM

    own = {name: value for name, value in inherited().items() if name != "OMP_NUM_THREADS"}  # which a fork sets itself
    subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno()), str(client.fileno()), " " * 2048],
        env={"GLIBC_TUNABLES": KEEP_MEMORY, **own, **variables, **_OF_PODS, ROOM: " " * 8192},
        pass_fds=[listener.fileno(), client.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


# ---- in the process that is forked from -----------------------------------------------------------------------------------------------


def _serve(listener: socket.socket, client: socket.socket) -> None:
    from tuneloop_trainer.warm import __main__ as warm

    own = dict(os.environ)
    warm._import()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while client not in select.select([listener, client], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            client.close()
            _keep(connection, own)
        connection.close()
    shutil.rmtree(Path(listener.getsockname()).parent)


def _keep(connection: socket.socket, own: dict[str, str]) -> NoReturn:
    """Be the parent of a warm trainer: report its end, and end it when the process that asked for it is gone."""
    from tuneloop_trainer.supervisor.start import die_with
    from tuneloop_trainer.warm import __main__ as warm

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 3)
    asked = json.loads(data)
    if warm._read_at_import(asked["environment"]) != warm._read_at_import(own):
        connection.send(b"no")
        os._exit(0)
    connection.send(b"yes")
    keeper = os.getpid()
    if (pid := os.fork()) == 0:
        connection.close()
        os.setsid()
        die_with(keeper)
        _be_warm(asked, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    ending = os.pidfd_open(pid)
    if connection in select.select([connection, ending], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.send(str(status).encode())
    os._exit(0)


def _be_warm(asked: dict[str, Any], descriptors: list[int]) -> NoReturn:
    from tuneloop_trainer.__main__ import end_process, main
    from tuneloop_trainer.warm import __main__ as warm

    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"] | {warm.ROOM: ""})
    arguments = warm.serve()
    end_process(main(arguments, ranks=warm.forked) if arguments is not None else 0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
