"""What keeps a run from starting: the rules against storms of retraining. The first one that holds is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.data_quality import GUARDED
from tuneloop_operator.decide.model_deployment.retraining.state import LEARNED, BlockedReason, Outcome
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.retraining.facts import Facts, LoopSpec
    from tuneloop_operator.decide.model_deployment.retraining.state import Loop, Record, Run
    from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerVerdict

_MOST_DOUBLINGS = 64
"""A power of the back-off beyond this one is no number of seconds any more."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Why no run may start."""

    reason: BlockedReason
    why: str
    until: datetime | None = None
    """When time alone ends it; None: other things must happen."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the runs of the window have cost."""

    runs: int
    gpu_seconds: float
    free_at: datetime | None
    """When the oldest of them leaves the window; None: there is none."""


def unanswered(loop: Loop, verdicts: tuple[TriggerVerdict, ...]) -> tuple[TriggerVerdict, ...]:
    """Return the triggers that fire, ask for a run, and fire on something that no run has answered yet."""
    answered = {*loop.handled, *((record.run.trigger, record.run.key) for record in loop.history)}
    return tuple(
        verdict
        for verdict in verdicts
        if verdict.state is TriggerState.FIRING
        and verdict.action == "Retrain"
        and (verdict.name, verdict.key) not in answered
    )


def block_of(loop: Loop, facts: Facts, *, now: datetime) -> Block | None:
    """Return why no run may start now; None if one may.

    Broken data come first: what was measured on them is void once they are over, and no other reason may hide that they were there.
    """
    return (
        _unfit(loop, facts)
        or _unready(facts)
        or _cooling(loop, facts.spec, now=now)
        or _overspent(loop, facts.spec, now=now)
        or _crowded(facts)
    )


def usable(firing: tuple[TriggerVerdict, ...], facts: Facts) -> tuple[TriggerVerdict, ...]:
    """Return the triggers that may start a run on the data of now: all, or those that judge no data."""
    return tuple(verdict for verdict in firing if facts.data.is_fit or verdict.type not in GUARDED)


def eligible_at(loop: Loop, spec: LoopSpec) -> datetime | None:
    """Return when the cooldown after the last run is over; None: there was no run."""
    if not loop.history:
        return None
    return loop.history[-1].ended + timedelta(seconds=pause_after(loop.setbacks, spec))


def pause_after(setbacks: int, spec: LoopSpec) -> float:
    """Return the seconds between the end of a run and the next one. setbacks: how many outcomes in a row make the pause longer."""
    longer = spec.cooldown * spec.backoff_factor ** min(setbacks, _MOST_DOUBLINGS)
    return max(spec.cooldown, min(longer, spec.backoff_max))


def spent(loop: Loop, spec: LoopSpec, *, now: datetime) -> Spent:
    """Return what the window has cost, with the run in flight. A run counts from its start, whatever came of it, but for one that was not started."""
    runs = [record.run for record in loop.history if record.outcome is not Outcome.DRY_RUN]
    runs += [loop.run] if loop.run else []
    length = timedelta(seconds=spec.window)
    counted = [run for run in runs if run.started + length > now]
    return Spent(
        runs=len(counted),
        gpu_seconds=sum(run.gpu_seconds for run in counted),
        free_at=counted[0].started + length if counted else None,
    )


def gpu_seconds_left(loop: Loop, spec: LoopSpec, *, now: datetime) -> float | None:
    """Return what the window has left, 0 at least; None: any number."""
    if spec.most_gpu_seconds is None:
        return None
    return max(0.0, spec.most_gpu_seconds - spent(loop, spec, now=now).gpu_seconds)


def learned_before(loop: Loop, run: Run, facts: Facts) -> str:
    """Return which model has learned from the data of this run by the same recipe, against the same champion; empty: none has."""
    if not run.data_digest or not facts.spec.requires_new_data:
        return ""
    if facts.champion is not None and facts.champion.data_digest == run.data_digest:
        return f"the model that serves, revision {facts.champion.revision}"
    record = next((found for found in reversed(loop.history) if _is_same(found, run)), None)
    return f"run {record.run.name}" if record else ""


def _is_same(record: Record, run: Run) -> bool:
    before = record.run
    is_same = (before.data_digest, before.recipe) == (run.data_digest, run.recipe)
    # a promoted model is the champion of the next run, and it has learned from these data
    was_here = before.champion_digest == run.champion_digest or (
        before.challenger is not None and before.challenger.digest == run.champion_digest
    )
    return record.outcome in LEARNED and is_same and was_here


def _unfit(loop: Loop, facts: Facts) -> Block | None:
    """Return that the data are broken. Once they were, they are until numbers say otherwise."""
    if usable(unanswered(loop, facts.verdicts), facts):
        return None
    if facts.data.problem:
        return Block(reason=BlockedReason.DATA_QUALITY, why=facts.data.problem)
    if loop.blocked is not BlockedReason.DATA_QUALITY:
        return None
    why = f"the data were broken, and whether they still are is not known: {facts.data.unknown}"
    return Block(reason=BlockedReason.DATA_QUALITY, why=why)


def _unready(facts: Facts) -> Block | None:
    """Return what a run needs and is not there: leave, a template, and a model that serves while no other one is rolled out."""
    if facts.spec.is_suspended:
        return Block(reason=BlockedReason.SUSPENDED, why="spec.retraining.suspend is true")
    if facts.template_problem:
        return Block(reason=BlockedReason.TEMPLATE, why=facts.template_problem)
    if facts.champion is None:
        return Block(reason=BlockedReason.ROLLOUT_IN_PROGRESS, why="no model serves yet")
    if facts.leftover:
        why = f"FineTuneJob {facts.leftover} of the run before is not gone yet"
        return Block(reason=BlockedReason.RUN_IN_FLIGHT, why=why)
    if facts.rollout.busy is not None:
        return Block(reason=facts.rollout.busy, why=facts.rollout.message)
    return None


def _cooling(loop: Loop, spec: LoopSpec, *, now: datetime) -> Block | None:
    until = eligible_at(loop, spec)
    if until is None or until <= now:
        return None
    last = loop.history[-1]
    if last.outcome is Outcome.NO_NEW_DATA:
        return Block(reason=BlockedReason.NO_NEW_DATA, why=last.reason, until=until)
    why = f"run {last.run.name} ended as {last.outcome}"
    if loop.setbacks:
        why += f", setback {loop.setbacks} in a row"
    return Block(reason=BlockedReason.COOLDOWN, why=why, until=until)


def _overspent(loop: Loop, spec: LoopSpec, *, now: datetime) -> Block | None:
    cost = spent(loop, spec, now=now)
    days = f"{spec.window / 86400:.3g} days"
    if cost.runs >= spec.most_runs:
        why = f"{cost.runs} runs in {days}, budget.maxRuns is {spec.most_runs}"
        return Block(reason=BlockedReason.BUDGET, why=why, until=cost.free_at)
    if (
        spec.most_gpu_seconds is None or not cost.gpu_seconds
    ):  # with all hours left a run starts, or none would ever again
        return None
    # a run costs about what the last one did
    expected = next((found.run.gpu_seconds for found in reversed(loop.history) if found.run.gpu_seconds), 0.0)
    if cost.gpu_seconds + expected < spec.most_gpu_seconds:
        return None
    used, like_last, most = (f"{value / 3600:.4g}" for value in (cost.gpu_seconds, expected, spec.most_gpu_seconds))
    why = f"{used} GPU hours in {days}, the last run took {like_last}, budget.gpuHours is {most}"
    return Block(reason=BlockedReason.BUDGET, why=why, until=cost.free_at)


def _crowded(facts: Facts) -> Block | None:
    most = facts.most_parallel_runs
    if most is None or facts.runs_elsewhere < most:
        return None
    why = f"runs of other deployments at work: {facts.runs_elsewhere}; retraining.maxParallelRuns of the operator allows {most}"
    return Block(reason=BlockedReason.PARALLEL_RUNS, why=why)
