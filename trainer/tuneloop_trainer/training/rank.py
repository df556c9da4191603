"""One training rank, from its start to its end: starts its heartbeat, then runs the attempt.

This module imports nothing heavy: the rank must be able to print its stack while it imports torch, which takes seconds.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from typing import TYPE_CHECKING

from tuneloop_trainer.imports import gc_paused
from tuneloop_trainer.supervisor.heartbeat import Heartbeat
from tuneloop_trainer.training.stop_request import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.results import TrainResult
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.report import Reporter


def import_attempt() -> Callable[..., TrainResult | None]:
    """Import all that a rank needs. `deepspeed_import` comes first: it keeps transformers from importing what no rank needs."""
    with gc_paused():
        from tuneloop_trainer.engine import deepspeed_import as engine_deepspeed  # noqa: F401, PLC0415  (first; heavy: see above)
        from tuneloop_trainer.training.attempt import run  # noqa: PLC0415

    return run


def train(config: RunConfig, reporter: Reporter) -> TrainResult | None:
    """Train as one rank of the gang; returns the result on rank 0, None on the others.

    Raises Preempted after SIGTERM, and every error of the trainer.
    """
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    heartbeat = Heartbeat.from_environment(os.environ)
    with heartbeat.through_pause():
        run = import_attempt()
    return run(config, reporter=reporter, stop=StopRequest(), heartbeat=heartbeat)
