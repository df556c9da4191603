"""Envoy as a child process that cannot outlive this one."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_router.settings import Settings

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any fork: a child must not wait for the lock of the loader."""


def start_envoy(program: str, settings: Settings) -> subprocess.Popen[bytes]:
    """Start Envoy. Call it in the main thread, before any other begins: the kernel ends the child when the thread that forked it ends."""
    command = [
        program,
        "--config-path",
        settings.places.bootstrap,
        "--disable-hot-restart",  # needs shared memory, and a container has one Envoy
        "--concurrency",
        str(settings.threads),
        "--log-level",
        "warning",
        "--component-log-level",
        "misc:error",  # each start and each new key would warn that two extensions may change
        "--file-flush-interval-msec",
        "1000",  # of the access log
        "--drain-time-s",
        str(settings.drain_seconds),
        "--drain-strategy",
        "immediate",  # `connection: close` on every answer, not on a growing share
    ]
    parent = os.getpid()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C reaches this process alone, which drains
        preexec_fn=lambda: _begin(parent),  # noqa: PLW1509  (this program has no other threads yet)
    )


def _begin(parent: int) -> None:
    """Run in the child: let the kernel kill it when its parent dies, and let signals reach it again."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
