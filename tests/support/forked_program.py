"""Runs a program of ours as a fork of a process that has imported the program: the imports of the operator alone take two seconds of work.

The fork has an environment, a log, a process id and signals of its own. A program that is to start from nothing, as in a pod, is started by
`subprocess` instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_OPERATOR = (
    "tuneloop_operator.__main__",
    "tuneloop_operator.process",
    "tuneloop_operator.logs",
    "tuneloop_operator.serving",
)
_CONTEXT = multiprocessing.get_context("forkserver")
_LOCK = threading.Lock()
"""Starting and polling look at all children of this process, and tests do both in several threads."""


@dataclass(frozen=True)
class ForkedProgram:
    """A running program, with the methods of `subprocess.Popen` that tests use."""

    _process: ForkServerProcess

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, the number of a signal below zero; None while it runs."""
        with _LOCK:
            return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended. Raises subprocess.TimeoutExpired."""
        multiprocessing.connection.wait([self._process.sentinel], timeout)
        status = self.returncode
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)


def start_operator(*, environment: Mapping[str, str], log: Path) -> ForkedProgram:
    """Start an operator; its output is added to the log. It ends with this process at the latest."""
    with _LOCK:
        _start_server()
        process = _CONTEXT.Process(target=_operator, args=(dict(environment), str(log)), daemon=True)
        process.start()
    return ForkedProgram(process)


def _start_server() -> None:
    """Start the process that is forked from, with the modules of this process' own path, if it does not run yet."""
    _CONTEXT.set_forkserver_preload(list(_OPERATOR))
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if inherited is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = inherited


def _operator(environment: dict[str, str], log: str) -> NoReturn:
    """Be an operator."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # the server ends with the last holder of this pipe, which is to be the test process alone; its forks end with the server
    os.close(forkserver._forkserver._forkserver_alive_fd)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    assert set(_OPERATOR) <= sys.modules.keys(), "the operator was not imported before the fork"
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [_OPERATOR[0]]
    try:
        status = importlib.import_module(_OPERATOR[0]).main()
    except SystemExit as asked:
        status = asked.code
    except BaseException:  # noqa: BLE001  (as an interpreter does that ends with an exception)
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)
