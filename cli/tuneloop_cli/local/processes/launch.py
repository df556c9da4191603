"""Becomes a pod's program, which the kernel kills when the session ends: `python -I -S launch.py SESSION_PID PROGRAM ARGUMENT…`.

The request is made here, between fork and exec, because a hook in the forked child of a program with threads can deadlock.
Run by its path: it needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for SIGKILL at the parent's death, then turn into the program."""
    session, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(session):  # it died before the request was made
        sys.exit(128 + signal.SIGKILL)
    try:
        os.execvp(command[0], command)  # noqa: S606  (no shell is wanted)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()
