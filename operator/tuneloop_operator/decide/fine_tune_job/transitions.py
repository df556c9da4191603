"""What each transition of the state machine does: the new status, and what to write beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_api.wire.model import changed
from tuneloop_operator.decide.decision import Decision, Deletion, Event, LiveChildren
from tuneloop_operator.decide.fine_tune_job.deadlines import refusals_in, requeue_after
from tuneloop_operator.decide.fine_tune_job.failure import failed, failure_of
from tuneloop_operator.decide.fine_tune_job.placement import replanned, replans_in
from tuneloop_operator.decide.fine_tune_job.start import (
    children_of_run,
    delay_left,
    shared_children_to_apply,
    with_child,
    with_next_run,
)
from tuneloop_operator.decide.fine_tune_job.state_machine import Transition, blame_window
from tuneloop_operator.decide.fine_tune_job.stop import requeued_by_queue, stopped
from tuneloop_operator.decide.fine_tune_job.success import changed_data, succeeded
from tuneloop_operator.desired.common.volumes import has_given_volumes
from tuneloop_operator.state.conditions import moment
from tuneloop_operator.state.mounts import mounts_in
from tuneloop_operator.state.runs import child_of, job_of_run, pods_of, pods_of_run, seconds_until_stopped, stage_of
from tuneloop_operator.status.fine_tune_job.training_health import stale_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tuneloop_api.v1alpha1.fine_tune_job.status import Failure
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import JobView, ObservedJob

NEEDS_LIVE_CHILDREN = Decision(needs=LiveChildren())
_CHECK_AGAIN_SECONDS = 30.0
"""How long to wait for a Job or a pod to go away before checking again."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """The outcome of one transition."""

    status: FineTuneJobStatus
    goes_on: bool = False
    """Whether the next transition can follow in the same round."""
    decision: Decision = field(default_factory=Decision)
    """What else to do. The status of this decision is not used."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything that a transition depends on."""

    observed: ObservedJob
    status: FineTuneJobStatus
    now: datetime
    settings: OperatorSettings


def _create(situation: Situation) -> Step:
    observed, status, now = situation.observed, situation.status, situation.now
    stage = stage_of(status)
    if (wait := delay_left(status, now=now)) > 0:
        return Step(status=status, decision=Decision(requeue_after=wait))
    if child_of(status, stage) is not None and not observed.live:
        return Step(status=status, decision=NEEDS_LIVE_CHILDREN)
    if (wait := seconds_until_stopped(observed, stage, now=now)) > 0:
        return Step(status=status, decision=Decision(requeue_after=min(wait, _CHECK_AGAIN_SECONDS)))
    status = with_next_run(observed, status, now=now, settings=situation.settings)
    child = child_of(status, stage)
    event = Event(reason="Started", message=f"{stage}: Job {child.name if child else ''}")
    # the event of the stage that has just succeeded says enough
    follows_a_stage = stage_of(observed.job.status or FineTuneJobStatus()) != stage
    decision = replace(
        children_of_run(observed, status, settings=situation.settings),
        apply=shared_children_to_apply(observed, status, settings=situation.settings),
        events=() if follows_a_stage else (event,),
    )
    return Step(status=status, decision=decision)


def _record_uid(situation: Situation) -> Step:
    status = situation.status
    job = job_of_run(situation.observed, status)
    if job is None:
        raise AssertionError("RECORD_UID follows from a Job that exists")
    if child_of(status, stage_of(status)) is None:  # the status was lost, but the Job is there
        status = with_next_run(situation.observed, status, now=situation.now, settings=situation.settings)
    child = child_of(status, stage_of(status))
    if child is None:
        raise AssertionError("a run that the status names has an entry for its Job")
    return Step(status=with_child(status, stage_of(status), changed(child, uid=job.uid)), goes_on=True)


def _watch(situation: Situation) -> Step:
    observed, status, now = situation.observed, situation.status, situation.now
    if replanned(observed, status, now=now) is not None:
        return _replan(situation)
    status = requeued_by_queue(observed, status, now=now)
    has_volumes = has_given_volumes(observed.job.spec, situation.settings)
    wait = _soonest(
        requeue_after(observed, status, now=now, settings=situation.settings),
        replans_in(observed, status, now=now),
        stale_in(status, now=now),
        refusals_in(observed, status, now=now),
        mounts_in(pods_of_run(observed, status), is_expected=True, now=now) if has_volumes else None,
    )
    if wait == 0.0 and not observed.live:
        return Step(status=status, decision=NEEDS_LIVE_CHILDREN)
    missing = shared_children_to_apply(observed, status, settings=situation.settings)
    if missing and not observed.live:  # the children may be missing because the job was deleted
        return Step(status=status, decision=NEEDS_LIVE_CHILDREN)
    return Step(status=status, decision=Decision(apply=missing, requeue_after=wait))


def _replan(situation: Situation) -> Step:
    """Give the attempt up. Another attempt may find nodes."""
    plan = replanned(situation.observed, situation.status, now=situation.now)
    if plan is None or not situation.observed.live:
        return Step(status=situation.status, decision=NEEDS_LIVE_CHILDREN)
    status = stopped(situation.observed, situation.status, reason=plan.reason, now=situation.now)
    status = changed(status, nodes=plan.nodes, avoided_nodes=plan.avoided)
    event = Event(type="Warning", reason="Replanned", message=plan.message)
    return Step(status=status, goes_on=True, decision=Decision(events=(event,)))


def _soonest(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)


def _wait(situation: Situation) -> Step:
    job = job_of_run(situation.observed, situation.status)
    if job is None or job.outcome_since is None:
        return Step(status=situation.status, decision=Decision(requeue_after=_CHECK_AGAIN_SECONDS))
    since_outcome = (situation.now - job.outcome_since).total_seconds()
    left = blame_window(pods_of(situation.observed, job)) - since_outcome
    return Step(status=situation.status, decision=Decision(requeue_after=max(left, 0.1)))


def _succeed(situation: Situation) -> Step:
    status = succeeded(situation.observed, situation.status, now=situation.now)
    if status is None and not situation.observed.live:  # the watch may not have reported the pod with the result yet
        return Step(status=situation.status, decision=NEEDS_LIVE_CHILDREN)
    if status is None:
        return _fail(situation)
    if (failure := changed_data(situation.observed, situation.status)) is not None:
        return _failed_with(situation, failure)
    stage = stage_of(situation.status)
    event = Event(reason=f"{stage.capitalize()}Succeeded", message=f"{stage} has succeeded")
    return Step(status=status, goes_on=True, decision=Decision(events=(event,)))


def _fail(situation: Situation) -> Step:
    failure = failure_of(situation.observed, situation.status, now=situation.now, settings=situation.settings)
    return _failed_with(situation, failure)


def _failed_with(situation: Situation, failure: Failure) -> Step:
    observed, now, local = situation.observed, situation.now, situation.settings.local
    status, restarts = failed(observed, situation.status, failure, now=now, one_machine=local)
    event = Event(
        type="Warning",
        reason="Restarting" if restarts else "Failed",
        message=f"{failure.failure_class} in {failure.stage}: {failure.message}",
    )
    return Step(status=status, goes_on=True, decision=Decision(events=(event,)))


def _suspend(situation: Situation) -> Step:
    status = stopped(situation.observed, situation.status, reason="Suspended", now=situation.now)
    event = Event(reason="Suspended", message="the job is suspended; its checkpoints stay")
    return Step(status=status, goes_on=True, decision=Decision(events=(event,)))


def _remove(situation: Situation) -> Step:
    job = job_of_run(situation.observed, situation.status)
    if job is None:
        raise AssertionError("REMOVE follows from a Job that exists")
    return Step(status=situation.status, decision=Decision(delete=(deletion_of(job),)))


def _idle(situation: Situation) -> Step:
    """Wait for the pods of a stopped gang, so that its usage is counted. Delete a finished job after its time to live."""
    job, status = situation.observed.job, situation.status
    if status.running_since is not None:
        wait = min(seconds_until_stopped(situation.observed, "train", now=situation.now), _CHECK_AGAIN_SECONDS)
        return Step(status=status, decision=Decision(requeue_after=wait))
    ttl = job.spec.ttl_seconds_after_finished
    if ttl is None or status.completion_time is None:
        return Step(status=status)
    left = ttl - (situation.now - moment(status.completion_time)).total_seconds()
    if left > 0:
        return Step(status=status, decision=Decision(requeue_after=left))
    if not situation.observed.live:  # a user may have raised the time to live just now
        return Step(status=status, decision=NEEDS_LIVE_CHILDREN)
    itself = Deletion(kind="FineTuneJob", name=job.metadata["name"], uid=situation.observed.uid)
    return Step(status=status, decision=Decision(delete=(itself,)))


TRANSITIONS: dict[Transition, Callable[[Situation], Step]] = {
    Transition.CREATE: _create,
    Transition.RECORD_UID: _record_uid,
    Transition.WATCH: _watch,
    Transition.WAIT: _wait,
    Transition.SUCCEED: _succeed,
    Transition.FAIL: _fail,
    Transition.MARK_LOST: _fail,
    Transition.SUSPEND: _suspend,
    Transition.REMOVE: _remove,
    Transition.IDLE: _idle,
}


def deletion_of(job: JobView) -> Deletion:
    """Return the deletion of a Job."""
    return Deletion(kind="Job", name=job.name, uid=job.uid)
