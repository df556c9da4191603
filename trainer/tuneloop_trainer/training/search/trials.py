"""What follows from the trials on record: the best one, the steps so far, the summary, how a trial ends, what may be removed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.search import SearchSummary
from tuneloop_api.wire.model import changed
from tuneloop_trainer.errors import ConfigError, NonFiniteLossError
from tuneloop_trainer.training.selection import gain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.results import TrainSummary
    from tuneloop_api.contract.search import Trial
    from tuneloop_api.v1alpha1.fine_tune_job.training import MetricName
    from tuneloop_trainer.errors import StageError
    from tuneloop_trainer.training.resume import TrainProgress


def best_of(trials: Sequence[Trial], metric: MetricName) -> Trial | None:
    """Return the best complete trial; of equal trials the earlier. None: no trial is complete."""
    best: Trial | None = None
    for trial in trials:
        if trial.state != "Complete" or trial.value is None:
            continue
        if best is None or best.value is None or gain(metric, best.value, trial.value) > 0:
            best = trial
    return best


def steps_of(trials: Sequence[Trial], *, before: int) -> int:
    """Return the optimizer steps of all trials with a lower number."""
    return sum(trial.steps for trial in trials if trial.number < before)


def running(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial that was begun and has not ended, if any."""
    return trials[-1] if trials and trials[-1].state == "Running" else None


def summary_of(trials: Sequence[Trial], *, total: int, metric: MetricName) -> SearchSummary:
    """Return what the status shows. total: trials that are planned."""
    best = best_of(trials, metric)
    return SearchSummary(
        trials=sum(trial.state != "Running" for trial in trials),
        total=total,
        pruned=sum(trial.state == "Pruned" for trial in trials),
        metric=metric,
        best=best.number if best else None,
        value=best.value if best else None,
        parameters=best.parameters if best else None,
    )


def without_checkpoints(trials: Sequence[Trial], metric: MetricName) -> list[int]:
    """Return the numbers of the trials whose checkpoints nobody needs: of all but the best and the running one."""
    best = best_of(trials, metric)
    kept = {best.number if best else 0, *(trial.number for trial in trials if trial.state == "Running")}
    return [trial.number for trial in trials if trial.number not in kept]


def resumed(trial: Trial, *, step: int, total_steps: int) -> Trial:
    """Return a trial as it goes on from a step, without later evaluations: they will be made again."""
    evaluations = [found for found in trial.evaluations if found.step <= step]
    return changed(trial, evaluations=evaluations, steps=step, total_steps=total_steps)


def ended_trial(
    trial: Trial, progress: TrainProgress, *, reason: str | None, is_pruned: bool, publishes_best: bool
) -> Trial:
    """Return a trial at its end. reason: why it diverged; None: it did not. publishes_best: its best checkpoint counts, not its last."""
    trial = changed(trial, steps=progress.step, reason=reason)
    if reason is not None or is_pruned:
        return changed(trial, state="Diverged" if reason is not None else "Pruned")
    best = progress.selection.best
    if publishes_best and best is not None:
        return changed(trial, state="Complete", step=best.step, value=best.value)
    return changed(trial, state="Complete", step=progress.step, value=trial.evaluations[-1].value)


def over_all(summary: TrainSummary | None, *, steps_before: int, start_step: int) -> TrainSummary | None:
    """Return the summary of a trial's training with its steps counted over all trials. start_step: where the attempt began."""
    if summary is None:
        return None
    last, best = (
        None if saved is None else changed(saved, step=saved.step + steps_before)
        for saved in (summary.last, summary.best)
    )
    return changed(summary, start_step=start_step, steps=summary.steps + steps_before, last=last, best=best)


def nothing_to_publish(trials: Sequence[Trial]) -> StageError:
    """Return the error of a search without a complete trial: of the last that diverged, else of the last that was refused."""
    diverged = [trial for trial in trials if trial.state == "Diverged"]
    refused = [trial for trial in trials if trial.state == "Refused"]
    last = (diverged or refused)[-1]
    message = f"none of the {len(trials)} trials came to its end: {len(diverged)} diverged, {len(refused)} were refused; trial {last.number}: {last.reason}"
    hint = "narrow the ranges of spec.search.space; a high learning rate diverges most often"
    return NonFiniteLossError(message, hint=hint) if diverged else ConfigError(message, hint=hint)
