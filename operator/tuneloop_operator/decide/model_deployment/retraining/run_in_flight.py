"""A run in flight: its job trains and measures, then its model is rolled out, and promoted or rejected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.facts import JobStage, Trial
from tuneloop_operator.decide.model_deployment.retraining.run_end import ended
from tuneloop_operator.decide.model_deployment.retraining.state import BlockedReason, LoopState, Outcome
from tuneloop_operator.decide.model_deployment.retraining.storm import learned_before, unanswered

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.retraining.facts import Facts, RunJob
    from tuneloop_operator.decide.model_deployment.retraining.state import Artifact, Loop, Run

_STATES = {
    Trial.WAITING: LoopState.CANARY,
    Trial.CANARY: LoopState.CANARY,
    Trial.PROMOTING: LoopState.PROMOTING,
    Trial.BAKING: LoopState.BAKING,
}


def advanced(loop: Loop, facts: Facts, *, now: datetime) -> Loop:
    """Return the memory after all that the job and the roll-out say of the run."""
    run = _run_of(loop)
    if not facts.rollout.is_possible:
        outcome = Outcome.PROMOTED if run.is_promoted else Outcome.SUPERSEDED
        return ended(loop, outcome, "spec.rollout was removed, by which a model is judged", now=now)
    if run.challenger is not None:
        return _on_trial(loop, run, run.challenger, facts, now=now)
    if facts.job is None:
        return _without_job(loop, run, facts, now=now)
    if run.job_uid and run.job_uid != facts.job.uid:
        return ended(loop, Outcome.FAILED, f"FineTuneJob {run.name} was replaced by another one", now=now)
    job = facts.job
    run = replace(run, job_uid=job.uid, data_digest=job.data_digest or run.data_digest, gpu_seconds=job.gpu_seconds)
    return _with_job(replace(loop, run=run), run, job, facts, now=now)


def _run_of(loop: Loop) -> Run:
    if loop.run is None:
        raise AssertionError("only a run in flight goes on")
    return loop.run


def _without_job(loop: Loop, run: Run, facts: Facts, *, now: datetime) -> Loop:
    if run.job_uid:
        return ended(loop, Outcome.FAILED, f"FineTuneJob {run.name} was deleted", now=now)
    if problem := facts.refusal or facts.template_problem:
        return ended(loop, Outcome.FAILED, problem, now=now)
    return _shown(loop, facts, LoopState.CONFIRMED, f"FineTuneJob {run.name} is created, for trigger {run.trigger}")


def _with_job(loop: Loop, run: Run, job: RunJob, facts: Facts, *, now: datetime) -> Loop:
    if job.stage is JobStage.FAILED:
        return ended(loop, Outcome.FAILED, job.message or f"FineTuneJob {run.name} failed", now=now)
    if known := learned_before(loop, run, facts):
        why = f"the data are those that {known} has learned from, by the same recipe"
        return ended(loop, Outcome.NO_NEW_DATA, why, now=now)
    if job.stage is JobStage.TRAINING:
        return _shown(loop, facts, LoopState.TRAINING, f"FineTuneJob {run.name} trains, for trigger {run.trigger}")
    if job.stage is JobStage.EVALUATING:
        return _shown(loop, facts, LoopState.EVALUATING, f"FineTuneJob {run.name} measures its model")
    return _with_model(loop, run, job, facts, now=now)


def _with_model(loop: Loop, run: Run, job: RunJob, facts: Facts, *, now: datetime) -> Loop:
    if job.comparison is not None and not job.comparison.is_better:
        return ended(loop, Outcome.REJECTED, job.comparison.message, now=now)
    if job.artifact is None:
        return ended(loop, Outcome.FAILED, f"FineTuneJob {run.name} published no model", now=now)
    if facts.rollout.busy is not None:
        why = f"the model of FineTuneJob {run.name} waits: {facts.rollout.message}"
        return _shown(loop, facts, LoopState.EVALUATING, why)
    challenger = replace(run, challenger=job.artifact)
    return _shown(replace(loop, run=challenger), facts, LoopState.CANARY, _rolled_out(run))


def _on_trial(loop: Loop, run: Run, challenger: Artifact, facts: Facts, *, now: datetime) -> Loop:
    trial = facts.rollout.trial
    if trial is Trial.REJECTED:
        outcome = Outcome.ROLLED_BACK if run.is_promoted else Outcome.REJECTED
        return ended(loop, outcome, facts.rollout.message, now=now)
    served = replace(
        run,
        challenger=replace(challenger, revision=facts.revision or challenger.revision),
        is_promoted=trial in {Trial.BAKING, Trial.PROMOTED},
    )
    loop = replace(loop, run=served)
    if trial is Trial.PROMOTED:
        return ended(loop, Outcome.PROMOTED, f"revision {facts.revision} serves", now=now)
    why = f"{_rolled_out(run)}: {facts.rollout.message}" if facts.rollout.message else _rolled_out(run)
    return _shown(loop, facts, _STATES[trial], why)


def _rolled_out(run: Run) -> str:
    return f"the model of FineTuneJob {run.name} is rolled out"


def _shown(loop: Loop, facts: Facts, state: LoopState, why: str) -> Loop:
    """Return the memory in this state. A trigger that fires on something new meanwhile is blocked by the run."""
    waits = facts.spec.is_enabled and bool(unanswered(loop, facts.verdicts))
    blocked = BlockedReason.RUN_IN_FLIGHT if waits else None
    return replace(loop, state=state, blocked=blocked, why=why, next_eligible=None)
