"""Publishes the best trial: reads the test split once, with its weights alone, and writes what `export` reads."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from tuneloop_api.contract.results import Finding, SavedStep, TrainResult
from tuneloop_api.wire.model import changed
from tuneloop_trainer.evaluation.predictions import BEFORE_TEST
from tuneloop_trainer.training.batch_schedule import Tokens
from tuneloop_trainer.training.final_evaluation import (
    measure_after_training,
    measure_before_training,
    predictions_path,
    write_weights,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.search import Trial
    from tuneloop_trainer.supervisor.heartbeat import Heartbeat
    from tuneloop_trainer.training.training_run import TrainingRun

_FILES = ("validation", "test", BEFORE_TEST)


def published(run: TrainingRun, best: Trial, *, job: Path, heartbeat: Heartbeat) -> TrainResult:
    """Measure the pre-trained model and the best weights, and write the weights into the folder of the job. Collective.

    run: of the best trial, fresh. Returns the result of this trial by itself. Raises StorageError if its checkpoint is not whole any more.
    """
    assert best.step is not None, "a complete trial has weights"
    trial_job = run.job
    run = replace(run, config=changed(run.config, paths=changed(run.config.paths, job_dir=str(job))))
    measure_before_training(run, beat=heartbeat.beat)
    with heartbeat.through_pause():
        run.checkpoints.load_step(best.step)
    measure_after_training(run, None, beat=heartbeat.beat)
    with heartbeat.through_pause():
        weights = write_weights(run, step=best.step)
        peak = run.engine.peak_memory_bytes()
    return _result(run, best, weights=weights, peak_memory=peak, trial_job=trial_job)


def released(run: TrainingRun) -> None:
    """Free the memory, the threads and the sockets of a run, before the next one is built. Collective."""
    run.checkpoints.release()
    run.engine.close()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _result(run: TrainingRun, best: Trial, *, weights: Path, peak_memory: int, trial_job: Path) -> TrainResult:
    assert best.step is not None, "a complete trial has weights"
    trained = sum((run.batch_schedule.tokens(step) for step in range(best.steps)), Tokens(0, 0))
    files = {name: predictions_path(run.job, name) for name in _FILES}
    saved = SavedStep(
        step=best.step, path=str(trial_job / "checkpoints"), metric=run.training.best_metric, value=best.value
    )
    log = trial_job / "logs" / "train.jsonl"
    return TrainResult(
        attempt=run.config.attempt,
        world_size=run.engine.world_size,
        start_step=0,
        steps=best.steps,
        stopped_early=best.steps < best.total_steps,
        last=saved,
        best=saved,
        weights_path=str(weights),
        predictions={name: str(path) for name, path in files.items() if path.exists()},
        log_path=str(log),
        resume=best.resume,
        precision=run.resolved.precision,
        micro_batch_size=run.resolved.micro_batch_size,
        tokens_per_second=trained.real / best.seconds if best.seconds else 0.0,
        padding_fraction=trained.padding_fraction,
        step_seconds=best.seconds,
        peak_memory_bytes=peak_memory,
        findings=findings_in(log),
        resolved=run.resolved,
    )


def findings_in(log: Path) -> list[Finding]:
    """Return what the curves of a trial told, from its training log, which rank 0 has. A line that a full disk or a lost node left half written has none."""
    if not log.exists():
        return []
    lines = filter(None, map(_line, log.read_bytes().splitlines()))
    return [Finding.from_wire(line) for line in lines if line["kind"] == "finding"]


def _line(written: bytes) -> dict[str, Any] | None:
    try:
        line: dict[str, Any] = json.loads(written)
    except ValueError:
        return None
    return line
