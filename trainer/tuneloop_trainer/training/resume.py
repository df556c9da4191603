"""Where a run stands: read from the newest checkpoint at the start, and what a checkpoint keeps of it."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import SavedStep
from tuneloop_trainer.checkpoint.manifest import TrainState
from tuneloop_trainer.errors import CheckpointLostError, StorageError
from tuneloop_trainer.training.selection import Best, Patience, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_trainer.checkpoint.resume import Found
    from tuneloop_trainer.training.setup import TrainingRun

LOG = logging.getLogger(__name__)


@dataclass
class Position:
    """Where a run stands."""

    step: int = 0
    """Optimizer steps done."""
    selection: Selection = field(default_factory=Selection)
    last: SavedStep | None = None
    """The newest checkpoint."""
    best: SavedStep | None = None
    """The best checkpoint."""


def resume(run: TrainingRun) -> Position:
    """Load the newest whole checkpoint into the engine; without one, stand at the start. Collective.

    Raises CheckpointLostError where there must be one and none is whole, and the errors of `Checkpoints`.
    """
    before = run.config.resume_before
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
        _refuse_to_begin_again(run, quarantined)
        return Position()
    expected = run.config.expected_step
    if run.is_main_rank and not quarantined and expected is not None and found.step < expected:
        LOG.warning("a checkpoint of step %d is known of; the newest whole one is of step %d", expected, found.step)
    state = run.checkpoints.load(found)
    position = Position(step=state.step, selection=selection_of(state), last=_saved(found))
    best = position.selection.best
    if best is not None and (at_best := run.checkpoints.find_step(best.step)) is not None:
        position.best = with_value(_saved(at_best), best)
    if run.is_main_rank:
        LOG.info("goes on after step %d of %d from %s", state.step, run.resolved.total_steps, found.path)
    return position


def _refuse_to_begin_again(run: TrainingRun, quarantined: Sequence[str]) -> None:
    """Raise CheckpointLostError where steps would be lost unseen: something was saved, and it is gone or damaged.

    Where all that there was has been set aside on purpose, training begins again at step 0.
    """
    expected, damaged = run.config.expected_step, run.checkpoints.skipped
    if expected is None or (quarantined and not damaged):
        return
    reasons = "".join(f"; {name} is damaged: {reason}" for name, reason in damaged)
    raise CheckpointLostError(
        f"{run.job / 'checkpoints'}: a checkpoint of step {expected} was saved here, and no whole one is found any more{reasons}",
        hint="put the checkpoints back into that folder; or accept the loss, to begin again at step 0, "
        'with the annotation tuneloop.dev/accept-lost-checkpoint: "true" on the FineTuneJob',
    )


def load_chosen(run: TrainingRun, position: Position) -> int:
    """Put the weights that are to be published into the engine; returns their step. Collective.

    Raises StorageError if the best checkpoint is not whole any more.
    """
    best = position.selection.best
    if run.config.settings.output.checkpoint == "last" or best is None or best.step == position.step:
        return position.step
    try:
        run.checkpoints.load_step(best.step)
    except StorageError as error:
        error.hint = "Set output.checkpoint: last to publish the newest weights."
        raise
    return best.step


def _saved(found: Found) -> SavedStep:
    return SavedStep(step=found.step, path=str(found.path), time=found.manifest.saved_at)


def with_value(saved: SavedStep, best: Best) -> SavedStep:
    """Return a saved step with the result that makes it the best."""
    return saved.model_copy(update={"metric": best.metric, "value": best.value})


def state_of(position: Position, *, steps_per_epoch: int) -> TrainState:
    """Return what a checkpoint keeps of a position."""
    selection = position.selection
    epoch, step_of_epoch = divmod(position.step, steps_per_epoch)
    return TrainState(
        step=position.step,
        data={"epoch": epoch, "stepOfEpoch": step_of_epoch},
        best=asdict(selection.best) if selection.best else None,
        early_stop=asdict(selection.patience) if selection.patience else None,
        extra={"bestSteps": list(selection.best_steps), "evaluatedStep": selection.evaluated_step},
    )


def selection_of(state: TrainState) -> Selection:
    """Return what the evaluations before a checkpoint said."""
    return Selection(
        best=Best(**state.best) if state.best else None,
        patience=Patience(**state.early_stop) if state.early_stop else None,
        best_steps=tuple(state.extra["bestSteps"]),
        evaluated_step=state.extra["evaluatedStep"],
    )
