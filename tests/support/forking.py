"""The process that `fork_server` starts, and that programs are forked from: it listens, imports when it is asked for the first fork, and forks.

Whoever connects sends the words of a command, an environment, and three descriptors. The answer is the process id of the fork with a descriptor of
the process, and at its end its exit status; or `no` to a stand-in for which a library should have read another value of a variable when it was imported. A fork ends with
the connection.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import runpy
import select
import shutil
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_READ_AT_IMPORT = ("CUDA_", "DS_", "HF_", "HUGGINGFACE_", "LD_", "PYTHONHOME", "PYTHONPATH", "TRANSFORMERS_", "XDG_")
"""How the names of variables begin that libraries read when they are imported."""


def serve(settings: dict[str, Any]) -> None:
    """Fork programs until the connection of the test ends."""
    listener, client = (socket.socket(fileno=settings[name]) for name in ("listener", "client"))
    del os.environ[settings["room"]]
    own, has_imported = dict(os.environ), False
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who keeps a program is waited for by nobody
    while client not in select.select([listener, client], [], [])[0]:
        connection, _ = listener.accept()
        if not has_imported:
            _import(settings["modules"])
            has_imported = True
        if os.fork() == 0:
            listener.close()
            client.close()
            _keep(connection, settings, own)
        connection.close()
    shutil.rmtree(Path(listener.getsockname()).parent)


def _import(modules: list[str]) -> None:
    gc.disable()
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()


def _keep(connection: socket.socket, settings: dict[str, Any], own: dict[str, str]) -> NoReturn:
    """Be the parent of a program: report its end, and end it when whoever asked for it is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 3)
    asked = json.loads(data)
    asked["environment"] = own if asked["environment"] is None else asked["environment"]
    if asked.get("is_stand_in") and _read_at_import(asked["environment"]) != _read_at_import(own):
        connection.send(b"no")
        os._exit(0)
    keeper = os.getpid()
    if (pid := os.fork()) == 0:
        connection.close()
        os.setsid()
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:
            _be(asked, descriptors, settings)
        os._exit(1)
    for descriptor in descriptors:
        os.close(descriptor)
    ending = os.pidfd_open(pid)
    with contextlib.suppress(BrokenPipeError):
        socket.send_fds(connection, [str(pid).encode()], [ending])
    if connection in select.select([connection, ending], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _read_at_import(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_IMPORT)}


def _be(asked: dict[str, Any], descriptors: list[int], settings: dict[str, Any]) -> NoReturn:
    """Be the program."""
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    if "directory" in asked:
        os.chdir(asked["directory"])
    if asked.get("nice"):
        os.setpriority(os.PRIO_PROCESS, 0, asked["nice"])
    if asked.get("files") is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (asked["files"], asked["files"]))
    os.environ.clear()
    os.environ.update(asked["environment"])
    if settings["shows_command"]:
        from tuneloop_trainer.warm.become import become

        become(asked["words"], asked["environment"])
    os.environ.update(settings["variables"])
    sys.stdout.reconfigure(line_buffering=True)
    code = _run(*asked["words"][2:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(program: str, *arguments: str) -> int:
    """Do as `python -m` does; return the exit status."""
    sys.argv = [program, *arguments]
    for module in (f"{program}.__main__", program):
        if not hasattr(sys.modules.get(module), "__path__"):
            sys.modules.pop(module, None)  # else runpy complains that it was imported before
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as asked:
        if asked.code is None or isinstance(asked.code, int):
            return asked.code or 0
        print(asked.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001  (as an interpreter does that ends with an exception)
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
