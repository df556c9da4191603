"""What to do next for a FineTuneJob: one move of the state machine after the other, until something must happen first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.decide.accept import job_refusals
from tuneloop_operator.decide.decision import Decision, Deletion, Event
from tuneloop_operator.decide.fine_tune_job.deadlines import asks_in, requeue_after
from tuneloop_operator.decide.fine_tune_job.ending import (
    changed_data,
    closed,
    failed,
    failure_of,
    requeued_by_queue,
    succeeded,
    with_final_usage,
)
from tuneloop_operator.decide.fine_tune_job.opening import (
    attempt_released,
    children_of_run,
    delay_left,
    gang_children_to_apply,
    opened,
    with_child,
)
from tuneloop_operator.decide.fine_tune_job.placement import replanned, replans_in
from tuneloop_operator.decide.fine_tune_job.stages import (
    IRREVERSIBLE,
    Transition,
    blame_window,
    orphaned_jobs,
    transition_of,
)
from tuneloop_operator.state.conditions import moment, with_condition
from tuneloop_operator.state.runs import Run, child_of, job_of_run, pods_of, quiet_in, run_of, stage_of
from tuneloop_operator.status.fine_tune_job.job import shown
from tuneloop_operator.status.fine_tune_job.progress import with_progress
from tuneloop_operator.status.fine_tune_job.training_health import stale_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.status import Failure
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import JobView, ObservedJob

_LOOK_AGAIN_SECONDS = 30.0
"""How long something that should go away is waited for before it is looked at again."""
_MOST_MOVES = 8
"""No more moves than this follow one another in one round; four do."""
_PROGRESS_FIELDS = frozenset({"progress", "checkpoint", "restarts", "workers", "firstStepTime", "resumeBefore"})


@dataclass(frozen=True, kw_only=True)
class Step:
    """One move, made."""

    status: FineTuneJobStatus
    goes_on: bool = False
    """The next move can follow in the same round."""
    decision: Decision = field(default_factory=Decision)
    """What else is to be done; its status is not used."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that a move may look at."""

    seen: ObservedJob
    status: FineTuneJobStatus
    now: datetime
    settings: OperatorSettings


def decide(seen: ObservedJob, *, now: datetime, settings: OperatorSettings) -> Decision:
    """Return what to write next. The same input gives the same decision; a job that needs nothing gets an empty one."""
    if seen.job.metadata.get("deletionTimestamp"):
        return Decision()  # its children are removed with it
    status = seen.job.status or FineTuneJobStatus()
    if status.start_time is None and (refused := _refused(seen, status, now=now, settings=settings)):
        return _with_status(seen, refused, Decision(), now=now, settings=settings)
    if seen.blocker is not None:  # what was decided last round could not be done: say so, and try again later
        return _with_status(seen, attempt_released(status), Decision(), now=now, settings=settings)
    if run_of(status) is Run.CREATED:
        status = with_progress(status, seen.progress, stage=stage_of(status))
    return _moved(seen, status, now=now, settings=settings) or Decision(look=True)


def _moved(
    seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> Decision | None:
    """Make every move that can be made now; None if the next one needs a live look."""
    left_over = orphaned_jobs(seen, status)
    if left_over and not seen.live:
        return None
    decision = Decision(delete=tuple(_deletion(job) for job in left_over))
    for _ in range(_MOST_MOVES):
        status = with_final_usage(seen, status, now=now)
        move = transition_of(seen, status, now=now, settings=settings)
        if move in IRREVERSIBLE and not seen.live:
            return None
        step = _MOVES[move](Situation(seen=seen, status=status, now=now, settings=settings))
        if step.decision.look:
            return None
        status, decision = step.status, _joined(decision, step.decision)
        if not step.goes_on:
            break
    return _with_status(seen, status, decision, now=now, settings=settings)


def _refused(
    seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> FineTuneJobStatus | None:
    refusals = job_refusals(seen.job.spec, settings)
    if not refusals:
        return None
    message = "\n".join(str(refusal) for refusal in refusals)
    conditions = with_condition(
        status.conditions, "Accepted", true=False, reason=refusals[0].reason, message=message, now=now
    )
    return status.model_copy(update={"conditions": conditions})


def _with_status(
    seen: ObservedJob, status: FineTuneJobStatus, decision: Decision, *, now: datetime, settings: OperatorSettings
) -> Decision:
    """Return the decision with the whole status, if that differs from the stored one, and is not mere progress too soon."""
    new = shown(seen, status, now=now).to_wire()
    old = seen.job.status.to_wire() if seen.job.status else {}
    if new == old:
        return decision
    changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    only_progress = changed <= _PROGRESS_FIELDS
    if only_progress and seen.progress_written is not None:
        interval = settings.progress_interval_seconds
        wait = interval - (now - seen.progress_written).total_seconds()
        if 0 < wait <= interval:  # more is left only where the clock was set back
            return replace(decision, requeue_after=min(wait, decision.requeue_after or wait))
    return replace(decision, status=new, progress_only=only_progress)


def _open(situation: Situation) -> Step:
    seen, status, now = situation.seen, situation.status, situation.now
    stage = stage_of(status)
    if (wait := delay_left(status, now=now)) > 0:
        return Step(status=status, decision=Decision(requeue_after=wait))
    if child_of(status, stage) is not None and not seen.live:
        return Step(status=status, decision=Decision(look=True))
    if (wait := quiet_in(seen, stage, now=now)) > 0:
        return Step(status=status, decision=Decision(requeue_after=min(wait, _LOOK_AGAIN_SECONDS)))
    status = opened(seen, status, now=now, settings=situation.settings)
    name = child_of(status, stage)
    event = Event(reason="Started", message=f"{stage}: Job {name.name if name else ''}")
    follows = stage_of(seen.job.status or FineTuneJobStatus()) != stage  # the event of the stage before says enough
    decision = replace(
        children_of_run(seen, status, settings=situation.settings),
        apply=gang_children_to_apply(seen, status, settings=situation.settings),
        events=() if follows else (event,),
    )
    return Step(status=status, decision=decision)


def _adopt(situation: Situation) -> Step:
    status = situation.status
    job, child = job_of_run(situation.seen, status), child_of(status, stage_of(status))
    if job is None:
        raise AssertionError("only a Job that was seen is adopted")
    adopted = child.model_copy(update={"uid": job.uid}) if child else None
    if adopted is None:  # the status was lost: the Job tells what it said
        status = opened(situation.seen, status, now=situation.now, settings=situation.settings)
        fresh = child_of(status, stage_of(status))
        adopted = fresh.model_copy(update={"uid": job.uid}) if fresh else None
    if adopted is None:
        raise AssertionError("an opened run has a child")
    return Step(status=with_child(status, stage_of(status), adopted), goes_on=True)


def _watch(situation: Situation) -> Step:
    seen, status, now = situation.seen, situation.status, situation.now
    if replanned(seen, status, now=now) is not None:
        return _replan(situation)
    status = requeued_by_queue(seen, status, now=now)
    wait = _soonest(
        requeue_after(seen, status, now=now, settings=situation.settings),
        replans_in(seen, status, now=now),
        stale_in(status, now=now),
        asks_in(seen, status, now=now),
    )
    if wait == 0.0 and not seen.live:
        return Step(status=status, decision=Decision(look=True))
    missing = gang_children_to_apply(seen, status, settings=situation.settings)
    if missing and not seen.live:  # the children may be going because the job is gone, unseen
        return Step(status=status, decision=Decision(look=True))
    return Step(status=status, decision=Decision(apply=missing, requeue_after=wait))


def _replan(situation: Situation) -> Step:
    """Give the gang up for one that may find nodes."""
    plan = replanned(situation.seen, situation.status, now=situation.now)
    if plan is None or not situation.seen.live:
        return Step(status=situation.status, decision=Decision(look=True))
    status = closed(situation.seen, situation.status, reason=plan.reason, now=situation.now)
    status = status.model_copy(update={"nodes": plan.nodes, "avoided_nodes": plan.avoided})
    event = Event(type="Warning", reason="Replanned", message=plan.message)
    return Step(status=status, goes_on=True, decision=Decision(events=(event,)))


def _soonest(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)


def _wait(situation: Situation) -> Step:
    job = job_of_run(situation.seen, situation.status)
    if job is None or job.outcome_since is None:
        return Step(status=situation.status, decision=Decision(requeue_after=_LOOK_AGAIN_SECONDS))
    heard = blame_window(pods_of(situation.seen, job)) - (situation.now - job.outcome_since).total_seconds()
    return Step(status=situation.status, decision=Decision(requeue_after=max(heard, 0.1)))


def _succeed(situation: Situation) -> Step:
    status = succeeded(situation.seen, situation.status, now=situation.now)
    if status is None and not situation.seen.live:  # the pod that says so may only not have been told of yet
        return Step(status=situation.status, decision=Decision(look=True))
    if status is None:
        return _fail(situation)
    if (changed := changed_data(situation.seen, situation.status)) is not None:
        return _failed_with(situation, changed)
    stage = stage_of(situation.status)
    event = Event(reason=f"{stage.capitalize()}Succeeded", message=f"{stage} has succeeded")
    return Step(status=status, goes_on=True, decision=Decision(events=(event,)))


def _fail(situation: Situation) -> Step:
    failure = failure_of(situation.seen, situation.status, now=situation.now, settings=situation.settings)
    return _failed_with(situation, failure)


def _failed_with(situation: Situation, failure: Failure) -> Step:
    seen, now, local = situation.seen, situation.now, situation.settings.local
    status, restarts = failed(seen, situation.status, failure, now=now, one_machine=local)
    event = Event(
        type="Warning",
        reason="Restarting" if restarts else "Failed",
        message=f"{failure.failure_class} in {failure.stage}: {failure.message}",
    )
    return Step(status=status, goes_on=True, decision=Decision(events=(event,)))


def _close(situation: Situation) -> Step:
    status = closed(situation.seen, situation.status, reason="Suspended", now=situation.now)
    event = Event(reason="Suspended", message="the job is suspended; its checkpoints stay")
    return Step(status=status, goes_on=True, decision=Decision(events=(event,)))


def _remove(situation: Situation) -> Step:
    job = job_of_run(situation.seen, situation.status)
    if job is None:
        raise AssertionError("only a Job that was seen is removed")
    return Step(status=situation.status, decision=Decision(delete=(_deletion(job),)))


def _rest(situation: Situation) -> Step:
    """Do nothing; a job that is over is deleted when its time has come, and what a gang used is counted once it is gone."""
    job, status = situation.seen.job, situation.status
    if status.running_since is not None:
        wait = min(quiet_in(situation.seen, "train", now=situation.now), _LOOK_AGAIN_SECONDS)
        return Step(status=status, decision=Decision(requeue_after=wait))
    ttl = job.spec.ttl_seconds_after_finished
    if ttl is None or status.completion_time is None:
        return Step(status=status)
    left = ttl - (situation.now - moment(status.completion_time)).total_seconds()
    if left > 0:
        return Step(status=status, decision=Decision(requeue_after=left))
    if not situation.seen.live:  # the time may have been raised just now
        return Step(status=status, decision=Decision(look=True))
    itself = Deletion(kind="FineTuneJob", name=job.metadata["name"], uid=situation.seen.uid)
    return Step(status=status, decision=Decision(delete=(itself,)))


_MOVES: dict[Transition, Callable[[Situation], Step]] = {
    Transition.CREATE: _open,
    Transition.RECORD_UID: _adopt,
    Transition.WATCH: _watch,
    Transition.WAIT: _wait,
    Transition.SUCCEED: _succeed,
    Transition.FAIL: _fail,
    Transition.MARK_LOST: _fail,
    Transition.SUSPEND: _close,
    Transition.REMOVE: _remove,
    Transition.IDLE: _rest,
}


def _deletion(job: JobView) -> Deletion:
    return Deletion(kind="Job", name=job.name, uid=job.uid)


def _joined(first: Decision, second: Decision) -> Decision:
    return Decision(
        delete=(*first.delete, *second.delete),
        apply=(*first.apply, *second.apply),
        create=(*first.create, *second.create),
        events=(*first.events, *second.events),
        requeue_after=second.requeue_after,
    )
