"""Where a run stands: read from the newest checkpoint at the start, written with every checkpoint."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tuneloop_api.results import SavedStep
from tuneloop_trainer.checkpoint.manifest import TrainState
from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.selection import Best, Patience, Selection

if TYPE_CHECKING:
    from tuneloop_trainer.checkpoint.resume import Found
    from tuneloop_trainer.run_setup import TrainingRun

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
    """Load the newest whole checkpoint into the engine; without one, stand at the start. Collective."""
    found = run.checkpoints.newest()
    if run.leads:
        for name, reason in run.checkpoints.skipped:
            LOG.warning("checkpoint %s is damaged and is left out: %s", name, reason)
    if found is None:
        return Position()
    state = run.checkpoints.load(found)
    position = Position(step=state.step, selection=selection_of(state), last=_saved(found))
    best = position.selection.best
    if best is not None and (at_best := run.checkpoints.find_step(best.step)) is not None:
        position.best = _with_value(_saved(at_best), best)
    if run.leads:
        LOG.info("goes on after step %d of %d from %s", state.step, run.resolved.total_steps, found.path)
    return position


def save(run: TrainingRun, position: Position) -> None:
    """Commit a checkpoint of this position and remove those that are no longer kept. Collective."""
    keep = run.config.settings.checkpoint
    selection = position.selection
    if position.last is None or position.last.step != position.step:
        position.last = run.checkpoints.save(state_of(position, steps_per_epoch=run.resolved.steps_per_epoch))
    if selection.best is not None and selection.best.step == position.step:
        position.best = _with_value(position.last, selection.best)
    needed = 1 if run.config.settings.output.checkpoint == "best" else 0
    run.checkpoints.keep(last=keep.keep_last, best=max(keep.keep_best, needed), best_steps=selection.best_steps)


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


def _with_value(saved: SavedStep, best: Best) -> SavedStep:
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
