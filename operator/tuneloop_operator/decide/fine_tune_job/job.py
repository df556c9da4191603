"""What to do next for a FineTuneJob: one transition of the state machine after the other, until something must happen in the cluster first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.printable import printable_values
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.base_model import base_model_refusals
from tuneloop_operator.decide.decision import Decision, MountFailures, PodRefusals
from tuneloop_operator.decide.feedback_sources import feedback_refusals, places_of
from tuneloop_operator.decide.fine_tune_job.start import attempt_released
from tuneloop_operator.decide.fine_tune_job.state_machine import IRREVERSIBLE, orphaned_jobs, transition_of
from tuneloop_operator.decide.fine_tune_job.stop import with_final_usage
from tuneloop_operator.decide.fine_tune_job.transitions import NEEDS_LIVE_CHILDREN, TRANSITIONS, Situation, deletion_of
from tuneloop_operator.decide.refusal import message_of, refusal_events
from tuneloop_operator.desired.common.volumes import has_given_volumes
from tuneloop_operator.state.conditions import condition, with_condition
from tuneloop_operator.state.mounts import unread_mounts
from tuneloop_operator.state.runs import Run, pods_of_run, run_of, stage_of
from tuneloop_operator.status.fine_tune_job.job import shown
from tuneloop_operator.status.fine_tune_job.progress import with_progress

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedJob

_MOST_TRANSITIONS = 8
"""In one round. At most four transitions follow one another; more would mean that they form a circle."""
_PROGRESS_FIELDS = frozenset({"progress", "checkpoint", "restarts", "workers", "firstStepTime", "resumeBefore"})


def decide(observed: ObservedJob, *, now: datetime, settings: OperatorSettings) -> Decision:
    """Return what to write next, or the fact that is missing. The same input gives the same decision."""
    if observed.job.metadata.get("deletionTimestamp"):
        return Decision()  # the API server removes its children with it
    if observed.live and (uids := _jobs_with_unread_refusals(observed)):
        return Decision(needs=PodRefusals(job_uids=uids))
    status = observed.job.status or FineTuneJobStatus()
    if status.start_time is None:
        if refused := _not_accepted(observed, status, now=now, settings=settings):
            events = refusal_events(status.conditions, refused.conditions)
            return _with_status(observed, refused, Decision(events=events), now=now, settings=settings)
        status = _no_longer_refused(status, now=now)
    if observed.blocker is not None:  # the last decision could not be carried out: report it; it is tried again later
        return _with_status(observed, attempt_released(status), Decision(), now=now, settings=settings)
    has_volumes = has_given_volumes(observed.job.spec, settings)
    if has_volumes and (uids := unread_mounts(pods_of_run(observed, status), is_expected=True, now=now)):
        return Decision(needs=MountFailures(pod_uids=uids))
    if run_of(status) is Run.CREATED:
        status = with_progress(status, observed.progress, stage=stage_of(status))
    return _after_transitions(observed, status, now=now, settings=settings)


def _jobs_with_unread_refusals(observed: ObservedJob) -> tuple[str, ...]:
    """Return the uids of the Jobs that have too few pods, and whose refusals have not been read."""
    return tuple(job.uid for job in observed.jobs if job.missing_pods and job.refusal is None)


def _after_transitions(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> Decision:
    """Make every transition that can be made now. An irreversible one needs live children."""
    orphans = orphaned_jobs(observed, status)
    if orphans and not observed.live:
        return NEEDS_LIVE_CHILDREN
    decision = Decision(delete=tuple(deletion_of(job) for job in orphans))
    for _ in range(_MOST_TRANSITIONS):
        status = with_final_usage(observed, status, now=now)
        transition = transition_of(observed, status, now=now, settings=settings)
        if transition in IRREVERSIBLE and not observed.live:
            return NEEDS_LIVE_CHILDREN
        step = TRANSITIONS[transition](Situation(observed=observed, status=status, now=now, settings=settings))
        if step.decision.needs is not None:
            return step.decision
        status, decision = step.status, _joined(decision, step.decision)
        if not step.goes_on:
            break
    return _with_status(observed, status, decision, now=now, settings=settings)


def _not_accepted(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> FineTuneJobStatus | None:
    """Return the status of a job that cannot run here; None if it can."""
    spec, deployments = observed.job.spec, observed.feedback_deployments
    refusals = (
        *job_refusals(spec, settings),
        *base_model_refusals(observed.job, observed.base_job),
        *feedback_refusals(spec, places=places_of(observed), deployments=deployments),
    )
    if not refusals:
        return None
    message = message_of(refusals)
    conditions = with_condition(
        status.conditions, "Accepted", true=False, reason=refusals[0].reason, message=message, now=now
    )
    return changed(status, conditions=conditions)


def _no_longer_refused(status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status of a job that can run here; it may have been refused before it was mended."""
    if condition(status.conditions, "Accepted") is None:
        return status
    accepted = with_condition(status.conditions, "Accepted", true=True, reason="Accepted", now=now)
    return changed(status, conditions=accepted)


def _with_status(
    observed: ObservedJob, status: FineTuneJobStatus, decision: Decision, *, now: datetime, settings: OperatorSettings
) -> Decision:
    """Return the decision with the whole status; without it if the stored status is equal, or if only progress would be written too soon."""
    new = printable_values(shown(observed, status, now=now).to_wire())
    old = observed.job.status.to_wire() if observed.job.status else {}
    if new == old:
        return decision
    differing = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    only_progress = differing <= _PROGRESS_FIELDS
    if only_progress and observed.progress_written is not None:
        interval = settings.progress_interval_seconds
        wait = interval - (now - observed.progress_written).total_seconds()
        if 0 < wait <= interval:  # a longer wait means that the clock was set back
            return replace(decision, requeue_after=min(wait, decision.requeue_after or wait))
    return replace(decision, status=new, progress_only=only_progress)


def _joined(first: Decision, second: Decision) -> Decision:
    return Decision(
        delete=(*first.delete, *second.delete),
        apply=(*first.apply, *second.apply),
        create=(*first.create, *second.create),
        events=(*first.events, *second.events),
        requeue_after=second.requeue_after,
    )
