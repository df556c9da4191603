"""One attempt, from its start to its end: set up, resume from the newest checkpoint, run the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.training.final_evaluation import measure_before_training
from tuneloop_trainer.training.loop import Loop
from tuneloop_trainer.training.resume import resume
from tuneloop_trainer.training.setup import set_up

if TYPE_CHECKING:
    from tuneloop_api.contract.results import TrainResult
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.report import Reporter
    from tuneloop_trainer.supervisor.heartbeat import Heartbeat
    from tuneloop_trainer.training.stop_request import StopRequest


def run(config: RunConfig, *, reporter: Reporter, stop: StopRequest, heartbeat: Heartbeat) -> TrainResult | None:
    """Train from the newest checkpoint to the end; returns the result on rank 0, None on the others."""
    if config.settings.search is not None:
        from tuneloop_trainer.training.search.search import Search  # noqa: PLC0415  (loads Optuna, half a second)

        return Search(config, config.settings.search, reporter=reporter, stop=stop, heartbeat=heartbeat).run()
    with heartbeat.through_pause():
        training_run = set_up(config)
    if config.settings.checkpoint.resume_from is not None:  # `resume` will overwrite the weights of the base model
        measure_before_training(training_run, beat=heartbeat.beat)
    with heartbeat.through_pause():
        progress = resume(training_run)
    stop.listen()  # not earlier: while a rank loads or waits for others, no Python runs, and an incomplete gang never agrees to stop
    return Loop(training_run, progress, reporter=reporter, stop=stop, heartbeat=heartbeat).run()
