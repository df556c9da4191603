"""Asks the kernel for a kill when the session dies, then becomes a pod's program: `python -I -S launch.py SESSION_PID PROGRAM ARGUMENT…`.

The request is made in a program of its own, because a hook between fork and exec can deadlock where the parent has threads.
The session runs this file by its path; it needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for SIGKILL at the death of the parent, then exec the program."""
    session, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(session):  # the session died before the request
        sys.exit(128 + signal.SIGKILL)
    try:
        os.execvp(command[0], command)  # noqa: S606  (no shell is wanted)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()
