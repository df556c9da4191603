"""The progress of a run: read from the newest checkpoint at the start, and written into every checkpoint."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import SavedStep
from tuneloop_api.wire.model import changed
from tuneloop_trainer.checkpoint.manifest import TrainState
from tuneloop_trainer.errors import CheckpointLostError, StorageError
from tuneloop_trainer.training.selection import Best, Patience, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_trainer.checkpoint.resume import Found
    from tuneloop_trainer.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)


@dataclass
class TrainProgress:
    """How far a run has come. The loop changes it."""

    step: int = 0
    """Optimizer steps made."""
    selection: Selection = field(default_factory=Selection)
    last: SavedStep | None = None
    """The newest checkpoint."""
    best: SavedStep | None = None
    """The best checkpoint."""


def resume(run: TrainingRun) -> TrainProgress:
    """Load the newest whole checkpoint into the engine, and return the progress of the run; without a checkpoint, step 0. Collective.

    Raises CheckpointLostError when checkpoints were saved and none is whole, and the errors of `Checkpoints`.
    """
    before, expected = run.config.resume_before, run.config.expected_step
    quarantined = [] if before is None else run.checkpoints.quarantine(before=before)
    found = run.checkpoints.newest()
    if run.is_main_rank:
        for name, reason in run.checkpoints.skipped:
            LOG.warning("checkpoint %s is damaged and is left out: %s", name, reason)
        for name, reason in run.checkpoints.unreadable:
            LOG.warning("checkpoint %s is left out, and stays: %s", name, reason)
        if quarantined:
            LOG.warning(
                "checkpoints from step %s on led to a loss that is not finite: %s", before, ", ".join(quarantined)
            )
    if found is None:
        check_nothing_is_lost(
            run.job / "checkpoints", expected_step=expected, damaged=run.checkpoints.skipped, quarantined=quarantined
        )
        if run.is_main_rank:
            LOG.info(
                "begins at step 1 of %d: there is no checkpoint in %s",
                run.resolved.total_steps,
                run.job / "checkpoints",
            )
        return TrainProgress()
    if run.is_main_rank and not quarantined and expected is not None and found.step < expected:
        LOG.warning("a checkpoint of step %d is known of; the newest whole one is of step %d", expected, found.step)
    state = run.checkpoints.load(found)
    progress = TrainProgress(step=found.step, selection=selection_of(state), last=_saved(found))
    best = progress.selection.best
    if best is not None and (at_best := run.checkpoints.find_step(best.step)) is not None:
        progress.best = with_value(_saved(at_best), best)
    if run.is_main_rank:
        LOG.info("goes on after step %d of %d from %s", found.step, run.resolved.total_steps, found.path)
    return progress


def check_nothing_is_lost(
    folder: Path, *, expected_step: int | None, damaged: Sequence[tuple[str, str]], quarantined: Sequence[str]
) -> None:
    """Raise CheckpointLostError where no whole checkpoint was found although a checkpoint was saved: its steps would be lost silently.

    folder: that of the checkpoints. expected_step: step of the newest checkpoint that the operator knows of; None: it knows of none, or the
    user has accepted the loss. damaged: (folder name, reason) of each damaged checkpoint. When all checkpoints were quarantined, and none
    is damaged, training may start over at step 0.
    """
    if expected_step is None or (quarantined and not damaged):
        return
    reasons = "".join(f"; {name} is damaged: {reason}" for name, reason in damaged)
    raise CheckpointLostError(
        f"{folder}: a checkpoint of step {expected_step} was saved here, and no whole one is found any more{reasons}",
        hint="put the checkpoints back into that folder; or accept the loss, to begin again at step 0, "
        'with the annotation tuneloop.dev/accept-lost-checkpoint: "true" on the FineTuneJob',
    )


def load_chosen(run: TrainingRun, progress: TrainProgress) -> int:
    """Load the weights to publish into the engine; returns their step. Collective.

    Raises StorageError if the best checkpoint is not whole any more.
    """
    best = progress.selection.best
    if run.config.settings.output.checkpoint == "last" or best is None or best.step == progress.step:
        return progress.step
    try:
        run.checkpoints.load_step(best.step)
    except StorageError as error:
        error.hint = "Set output.checkpoint: last to publish the newest weights."
        raise
    return best.step


def _saved(found: Found) -> SavedStep:
    return SavedStep(step=found.step, path=str(found.path), time=found.manifest.saved_at)


def with_value(saved: SavedStep, best: Best) -> SavedStep:
    """Return a saved step with the evaluation that makes it the best."""
    return changed(saved, metric=best.metric, value=best.value)


def state_of(progress: TrainProgress, *, steps_per_epoch: int) -> TrainState:
    """Return the state that a checkpoint keeps."""
    selection = progress.selection
    epoch, step_of_epoch = divmod(progress.step, steps_per_epoch)
    return TrainState(
        data={"epoch": epoch, "stepOfEpoch": step_of_epoch},
        best=asdict(selection.best) if selection.best else None,
        early_stop=asdict(selection.patience) if selection.patience else None,
        extra={"bestSteps": list(selection.best_steps), "evaluatedStep": selection.evaluated_step},
    )


def selection_of(state: TrainState) -> Selection:
    """Return the selection that a checkpoint keeps."""
    return Selection(
        best=Best(**state.best) if state.best else None,
        patience=Patience(**state.early_stop) if state.early_stop else None,
        best_steps=tuple(state.extra["bestSteps"]),
        evaluated_step=state.extra["evaluatedStep"],
    )
