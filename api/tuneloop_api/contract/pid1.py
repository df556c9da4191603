"""SIGTERM in a container's first process, which the kernel spares every signal that it has no handler for. Imports nothing of ours."""

import os
import signal

TERMINATED = 128 + signal.SIGTERM


def end_on_sigterm() -> None:
    """End at once on SIGTERM, if this is process 1, until the program takes the signal over; elsewhere that is what happens anyway.

    To be called before the imports that take seconds: a pod that was deleted meanwhile would stay for its whole grace period.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> None:
    os._exit(TERMINATED)
