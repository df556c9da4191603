"""A run that failed: why, and whether another run follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, FineTuneJobStatus, Restarts
from tuneloop_api.wire.model import changed
from tuneloop_operator.decide.fine_tune_job.attempt_end import with_last_checkpoint, with_run_ended
from tuneloop_operator.decide.fine_tune_job.classify import blame, job_deleted, no_result, pods_gone
from tuneloop_operator.decide.fine_tune_job.deadlines import overdue
from tuneloop_operator.decide.fine_tune_job.placement import with_bad_node
from tuneloop_operator.decide.fine_tune_job.restart import Action, RestartDecision, halved, restart_decision
from tuneloop_operator.state.conditions import stamp, with_condition
from tuneloop_operator.state.runs import child_of, job_of_run, pods_of, stage_of

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedJob

_ONE_ROW = "a micro-batch is one row already"
_ROOM_FOR_LIMIT = 3900
"""Characters of the failure's message that are kept where the reached limit is appended; a status allows 4096 in all."""


def failure_of(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> Failure:
    """Return why the current run failed: its Job is gone, succeeded without a result, is overdue, or a pod of it failed."""
    job, stage = job_of_run(observed, status), stage_of(status)
    if job is None:
        child = child_of(status, stage)
        return job_deleted(name=child.name if child else stage, stage=stage)
    if job.outcome == "Succeeded":
        return no_result(name=job.name, stage=stage)
    if job.outcome is None and (failure := overdue(observed, status, now=now, settings=settings)):
        return failure
    found = blame(pods_of(observed, job))
    return found.failure if found else pods_gone(name=job.name, stage=stage, message=job.outcome_message)


def failed(
    observed: ObservedJob, status: FineTuneJobStatus, failure: Failure, *, now: datetime, one_machine: bool
) -> tuple[FineTuneJobStatus, bool]:
    """Return the status after a failed run, and whether another run follows.

    one_machine: whether there is no other node to run on, so that no node is avoided.
    """
    status = with_last_checkpoint(observed, status)
    restarts, policy = status.restarts or Restarts(), observed.job.spec.failure_policy
    restart = restart_decision(failure, restarts=restarts, policy=policy, now=stamp(now))
    if restart.action is Action.REDUCE_MICRO_BATCH and _halved(status) is None:
        restart = RestartDecision(action=Action.FAIL, restarts=restarts, exhausted=_ONE_ROW)
    bad_nodes = None if one_machine else with_bad_node(observed.job.spec, status, failure)
    status = with_run_ended(observed, status, reason="Failed", failure=failure, now=now)
    if restart.restarts_run:
        fields = {"restarts": restart.restarts, "avoided_nodes": bad_nodes} | retry_changes(status, restart.action)
        return changed(status, **fields, failure=changed(failure, retryable=True)), True
    message = failure.message or failure.failure_class
    if restart.exhausted:
        message = f"{message[:_ROOM_FOR_LIMIT]} ({restart.exhausted})"
    conditions = with_condition(
        status.conditions, "Failed", true=True, reason=failure.failure_class, message=message, now=now
    )
    failure = changed(failure, message=message)
    return changed(status, failure=failure, completion_time=stamp(now), conditions=conditions), False


def retry_changes(status: FineTuneJobStatus, action: Action) -> dict[str, Any]:
    """Return the fields of the status that make the next attempt differ from the failed one."""
    if action is Action.REDUCE_MICRO_BATCH:
        return {"micro_batch_size": _halved(status), "resume": "rounding"}
    if action is Action.PREPARE_AGAIN and status.children and status.children.prepare:
        prepare = changed(status.children.prepare, result=None)
        return {"children": changed(status.children, prepare=prepare)}
    if action is Action.REPLAY and status.checkpoint and status.checkpoint.latest:
        return {
            "resume_before": status.checkpoint.latest.step,
            "checkpoint": changed(status.checkpoint, latest=None),
        }
    return {}


def _halved(status: FineTuneJobStatus) -> int | None:
    planned = status.resolved or {}
    micro, whole = status.micro_batch_size or planned.get("microBatchSize"), planned.get("globalBatchSize")
    return halved(micro, global_batch=whole) if isinstance(micro, int) and isinstance(whole, int) else None
