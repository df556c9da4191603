"""Two ways to start the process of a rank: a program, or a fork of this process. Either dies with the supervisor and leads a process group."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any fork: a child must not wait for the lock of the loader."""


class Child(Protocol):
    """A child process whose output this process reads."""

    pid: int
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None
    returncode: int | None
    """Set by the supervisor, which reaps the process."""


StartProcess = Callable[[Mapping[str, str]], Child]
"""Starts the process of a rank with this environment. Call it in the main thread."""


def program(command: Sequence[str]) -> StartProcess:
    """Return a function that starts this command."""
    parent = os.getpid()

    def start(environment: Mapping[str, str]) -> Child:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            preexec_fn=lambda: die_with(parent),  # noqa: PLW1509  (this program has no other threads)
        )

    return start


@dataclass
class _Fork:
    pid: int
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None
    returncode: int | None = None


def fork(run: Callable[[Mapping[str, str]], int]) -> StartProcess:
    """Return a function that forks this process. The fork runs `run(environment)`, and ends with the exit code that it returns."""
    parent = os.getpid()

    def start(environment: Mapping[str, str]) -> Child:
        outputs = [os.pipe(), os.pipe()]
        pid = os.fork()
        if pid == 0:
            _run_in_child(run, environment, outputs=[write for _, write in outputs], parent=parent)
        os.setpgid(pid, pid)  # the child does so, too: whoever comes first
        for _, write in outputs:
            os.close(write)
        stdout, stderr = (os.fdopen(read, "rb", buffering=0) for read, _ in outputs)
        return _Fork(pid, stdout, stderr)

    return start


def _run_in_child(
    run: Callable[[Mapping[str, str]], int], environment: Mapping[str, str], *, outputs: list[int], parent: int
) -> None:
    """Run a fork to its end. It never returns into the frames of its parent."""
    code = 1
    try:
        os.setpgid(0, 0)
        die_with(parent)
        for descriptor, output in zip((1, 2), outputs, strict=True):
            os.dup2(output, descriptor)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run(environment)
    except BaseException:  # noqa: BLE001  (it must not reach the frames of the supervisor)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies; exit at once if the parent is dead already. Runs in a child just forked."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
