"""Lets SIGTERM end process 1 of a container: the kernel drops a signal for which process 1 has no handler. Imports nothing of ours."""

import os
import signal

TERMINATED = 128 + signal.SIGTERM


def end_on_sigterm() -> None:
    """Let SIGTERM end this process at once if it is process 1; any other process ends so by default. The program may set another handler later.

    Call this before the imports that take seconds: otherwise a pod that is deleted during them stays for its whole grace period.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> None:
    os._exit(TERMINATED)
