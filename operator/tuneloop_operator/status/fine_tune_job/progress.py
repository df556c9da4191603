"""How far a job is, by the newest progress message of the current stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.common import MOST_SHORT_TEXT_CHARACTERS
from tuneloop_api.v1alpha1.fine_tune_job.status import (
    CheckpointStatus,
    EvaluationValue,
    FineTuneJobStatus,
    Progress,
    Restarts,
    SavedCheckpoint,
)
from tuneloop_api.wire.model import changed
from tuneloop_operator.status.fine_tune_job.search import with_search

if TYPE_CHECKING:
    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_api.contract.results import SavedStep
    from tuneloop_api.contract.run_config import Stage

_SHARE: dict[Stage, tuple[float, float]] = {"prepare": (0.0, 5.0), "train": (5.0, 95.0), "export": (95.0, 100.0)}
"""Percent of the whole job at the start and the end of each stage."""
_LOSS_DIGITS = 6
"""`kubectl get` prints every digit of the status. The training log has all digits."""


def with_progress(status: FineTuneJobStatus, message: ProgressMessage | None, *, stage: Stage) -> FineTuneJobStatus:
    """Return the status with a progress message. A message of another stage or attempt changes nothing."""
    if message is None or message.stage != stage or (stage == "train" and message.attempt != status.attempt):
        return status
    status = with_start(status, message.start_step)
    old = status.progress or Progress()
    evaluation = message.evaluation if message.evaluation and is_short(message.evaluation.name) else None
    progress = Progress(
        percent=percent(stage, _fraction(message)),
        stage=stage,
        step=old.step if message.step is None else message.step,
        start_step=old.start_step if message.start_step is None else message.start_step,
        total_steps=old.total_steps if message.total_steps is None else message.total_steps,
        epoch=old.epoch if message.epoch is None else message.epoch,
        loss=old.loss if message.loss is None else float(f"{message.loss:.{_LOSS_DIGITS}g}"),
        evaluation=EvaluationValue(name=evaluation.name, value=evaluation.value) if evaluation else old.evaluation,
        tokens_per_second=message.tokens_per_second,
        step_seconds=None if message.step_seconds is None else round(message.step_seconds, 3),
        eta=None if message.eta_seconds is None else duration_text(message.eta_seconds),
        eta_seconds=message.eta_seconds,
        last_heartbeat=message.sent_at,
    )
    first_step_time = status.first_step_time or (message.sent_at if _has_stepped(message) else None)
    status = with_search(changed(status, progress=progress, first_step_time=first_step_time), message.search)
    status = with_checkpoint(status, latest=message.latest, best=message.best)
    return with_save_seconds(status, message.save_seconds_p95)


def with_start(status: FineTuneJobStatus, step: int | None) -> FineTuneJobStatus:
    """Return the status with the start step of the current attempt, unless it has one.

    An attempt starts from the newest whole checkpoint. So a later checkpoint in the status is damaged or gone, and is removed.
    """
    progress, checkpoint = status.progress or Progress(), status.checkpoint
    if step is None or progress.start_step is not None:
        return status
    status = changed(status, progress=changed(progress, start_step=step))
    if checkpoint is None or checkpoint.latest is None or checkpoint.latest.step <= step:
        return status
    found = SavedCheckpoint(step=step) if step else None
    return changed(status, checkpoint=changed(checkpoint, latest=found, best=None))


def with_checkpoint(
    status: FineTuneJobStatus, *, latest: SavedStep | None, best: SavedStep | None
) -> FineTuneJobStatus:
    """Return the status with these checkpoints. A newer checkpoint resets the counters of restarts since the newest checkpoint."""
    if latest is None and best is None:
        return status
    old = status.checkpoint or CheckpointStatus()
    known = old.latest.step if old.latest else -1
    newer = latest is not None and latest.step > known
    restarts = status.restarts or Restarts()
    checkpoint = changed(
        old,
        latest=_saved(latest) if latest and latest.step >= known else old.latest,
        best=_saved(best) if best else old.best,
    )
    return changed(
        status,
        checkpoint=checkpoint,
        restarts=after_checkpoint(restarts) if newer and status.restarts else status.restarts,
        resume_before=None if newer else status.resume_before,
    )


def with_save_seconds(status: FineTuneJobStatus, p95: float | None) -> FineTuneJobStatus:
    """Return the status with the 95th percentile of the time that a save takes, in seconds."""
    if p95 is None:
        return status
    return changed(status, checkpoint=changed(status.checkpoint or CheckpointStatus(), save_seconds_p95=round(p95, 3)))


def is_short(name: str) -> bool:
    """Whether a name that a stage reports is short enough for the status.

    An image of the user may report any name. The status leaves out a metric whose name is longer, and keeps the rest.
    """
    return len(name) <= MOST_SHORT_TEXT_CHARACTERS


def percent(stage: Stage, fraction: float) -> str:
    """Return the progress of the whole job at a fraction (0 to 1) of a stage, at most 99%: only a job that has succeeded shows 100%."""
    begin, end = _SHARE[stage]
    return f"{min(int(begin + (end - begin) * min(max(fraction, 0.0), 1.0)), 99)}%"


def duration_text(seconds: int) -> str:
    """Return a duration as text for people: `45s`, `12m`, `3h20m`, `2d4h`."""
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days}d{hours % 24}h"
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m" if minutes else f"{seconds}s"


def _has_stepped(message: ProgressMessage) -> bool:
    return message.step is not None and message.step > (message.start_step or 0)


def _fraction(message: ProgressMessage) -> float:
    if message.step is not None and message.total_steps:
        return message.step / message.total_steps
    return message.fraction or 0.0


def _saved(saved: SavedStep) -> SavedCheckpoint:
    checkpoint = SavedCheckpoint(step=saved.step, path=saved.path, time=saved.time)
    is_named = saved.metric is None or is_short(saved.metric)
    return changed(checkpoint, metric=saved.metric, value=saved.value) if is_named else checkpoint


def after_checkpoint(restarts: Restarts) -> Restarts:
    """Return the counters after a newer checkpoint or a finished stage."""
    return changed(restarts, without_progress=0, since_checkpoint=0)
