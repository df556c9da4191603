"""The end of a run: what the status keeps of it, and whether another one follows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tuneloop_api.v1alpha1.fine_tune_job.status import (
    AttemptRecord,
    Child,
    Failure,
    FineTuneJobStatus,
    Progress,
    Restarts,
    StageResult,
)
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.names import STAGES
from tuneloop_operator.decide.fine_tune_job.classify import (
    blame,
    job_deleted,
    no_result,
    pods_gone,
    termination_message_of,
)
from tuneloop_operator.decide.fine_tune_job.deadlines import overdue
from tuneloop_operator.decide.fine_tune_job.opening import with_child
from tuneloop_operator.decide.fine_tune_job.placement import with_bad_node
from tuneloop_operator.decide.fine_tune_job.restart import Action, Verdict, halved, verdict
from tuneloop_operator.decide.fine_tune_job.usage import with_usage
from tuneloop_operator.state.conditions import NO_ATTEMPT, QUEUED, condition, moment, stamp, with_condition
from tuneloop_operator.state.runs import (
    Run,
    child_of,
    job_of_run,
    nodes_of,
    pods_of,
    pods_of_run,
    quiet_in,
    run_of,
    running_since,
    stage_of,
)
from tuneloop_operator.status.fine_tune_job.handover import with_exported, with_prepared, with_trained
from tuneloop_operator.status.fine_tune_job.progress import after_checkpoint, with_checkpoint, with_start

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.results import TerminationMessage, TrainSummary
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedJob, PodView

_HISTORY = 10
_ONE_ROW = "a micro-batch is one row already"
_ROOM_FOR_LIMIT = 3900
"""Characters of a failure's message, of the 4096 that a status allows, where the limit that was reached is said behind it."""


def succeeded(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus | None:
    """Return the status with what the stage handed on; None if none of its pods can say, or says what no status can hold."""
    try:
        return _succeeded(seen, status, now=now)
    except ValidationError:  # an image of the user's own may write anything
        return None


def _succeeded(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus | None:
    job, stage = job_of_run(seen, status), stage_of(status)
    found = _handed_on(pods_of(seen, job)) if job else None
    if found is None or job is None:
        return None
    pod, message = found
    if message.prepare is not None:
        status = with_prepared(status, message.prepare, image=pod.image, now=now)
    elif message.train is not None:
        status = with_trained(status, message.train, now=now)
        status = _with_record(seen, _with_usage(seen, status, now=now), reason="Succeeded", failure=None, now=now)
    elif message.export is not None:
        status = with_exported(status, message.export)
    else:
        return None
    result = message.result
    if result is None:
        return None
    child = Child(name=job.name, uid=job.uid, ended=True, result=StageResult(path=result.path, sha256=result.sha256))
    status = with_child(status, stage, child)
    is_repair = stage == "prepare" and status.attempt is not None  # whether training can read it now is not known
    if status.restarts is not None and not is_repair:  # a whole stage is as good as a checkpoint
        status = status.model_copy(update={"restarts": after_checkpoint(status.restarts)})
    if stage == STAGES[-1]:
        return _completed(status, reason="Published", now=now)
    return _completed(status, reason="DryRun", now=now) if stage == "prepare" and _is_dry_run(seen) else status


def failure_of(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings) -> Failure:
    """Return why the Job of the current run failed, or why it came to nothing."""
    job, stage = job_of_run(seen, status), stage_of(status)
    if job is None:
        child = child_of(status, stage)
        return job_deleted(name=child.name if child else stage, stage=stage)
    if job.outcome == "Succeeded":
        return no_result(name=job.name, stage=stage)
    pods = pods_of(seen, job)
    if job.outcome is None and (late := overdue(seen, status, now=now, settings=settings)):
        return late
    found = blame(pods)
    return found.failure if found else pods_gone(name=job.name, stage=stage, message=job.outcome_message)


def changed_data(seen: ObservedJob, status: FineTuneJobStatus) -> Failure | None:
    """Return why data that was prepared again is of no use: it is not the data that training began with."""
    job, before = job_of_run(seen, status), status.lineage.data_digest if status.lineage else None
    found = _handed_on(pods_of(seen, job)) if job else None
    made = found[1].prepare if found else None
    if made is None or before in {None, made.dataset_digest}:
        return None
    return Failure(
        failure_class=FailureClass.DATA.value,
        stage="prepare",
        message=f"the sources have changed since training began: their prepared data is {made.dataset_digest}, it was {before}",
        hint="Put the files back as they were, or create the job under another name to train on the new ones.",
        retryable=False,
    )


def failed(
    seen: ObservedJob, status: FineTuneJobStatus, failure: Failure, *, now: datetime, one_machine: bool
) -> tuple[FineTuneJobStatus, bool]:
    """Return the status after a failed run, and whether another run follows. `one_machine`: there is no other node to go to."""
    status = _with_last_checkpoint(seen, status)
    policy = seen.job.spec.failure_policy
    judged = verdict(failure, restarts=status.restarts or Restarts(), policy=policy, now=stamp(now))
    if judged.action is Action.REDUCE_MICRO_BATCH and _halved(status) is None:
        judged = Verdict(action=Action.FAIL, restarts=status.restarts or Restarts(), exhausted=_ONE_ROW)
    bad_nodes = None if one_machine else with_bad_node(seen.job.spec, status, failure)
    status = _ended(seen, status, reason="Failed", failure=failure, now=now)
    if judged.restart:
        changed = {"restarts": judged.restarts, "avoided_nodes": bad_nodes} | retry_changes(status, judged.action)
        return status.model_copy(update=changed | {"failure": failure.model_copy(update={"retryable": True})}), True
    message = failure.message or failure.failure_class
    if judged.exhausted:
        message = f"{message[:_ROOM_FOR_LIMIT]} ({judged.exhausted})"
    conditions = with_condition(
        status.conditions, "Failed", true=True, reason=failure.failure_class, message=message, now=now
    )
    ended = {
        "failure": failure.model_copy(update={"message": message}),
        "completion_time": stamp(now),
        "conditions": conditions,
    }
    return status.model_copy(update=ended), False


def retry_changes(status: FineTuneJobStatus, action: Action) -> dict[str, Any]:
    """Return what the next attempt does in another way than the one that failed."""
    if action is Action.REDUCE_MICRO_BATCH:
        return {"micro_batch_size": _halved(status), "resume": "rounding"}
    if action is Action.PREPARE_AGAIN and status.children and status.children.prepare:
        anew = status.children.prepare.model_copy(update={"result": None})
        return {"children": status.children.model_copy(update={"prepare": anew})}
    if action is Action.REPLAY and status.checkpoint and status.checkpoint.latest:
        checkpoint = status.checkpoint.model_copy(update={"latest": None})
        return {"resume_before": status.checkpoint.latest.step, "checkpoint": checkpoint}
    return {}


def _halved(status: FineTuneJobStatus) -> int | None:
    planned = status.resolved or {}
    now, whole = status.micro_batch_size or planned.get("microBatchSize"), planned.get("globalBatchSize")
    return halved(now, global_batch=whole) if isinstance(now, int) and isinstance(whole, int) else None


def closed(seen: ObservedJob, status: FineTuneJobStatus, *, reason: str, now: datetime) -> FineTuneJobStatus:
    """Return the status after a run that we ended although nothing had failed; no restart is counted.

    Its pods are still to save their checkpoint: what it has done and used is not known before (`settled`).
    """
    since = running_since(seen, status)
    status = _without_speed(_with_child_ended(status))
    if stage_of(status) != "train":
        return status
    status = _with_record(seen, status, reason=reason, failure=None, now=now)
    if status.running_since is None:
        status = status.model_copy(update={"running_since": stamp(since) if since else None})
    return status if status.running_since else _without_steps(status)


def with_final_usage(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status with what a gang has done and used that was closed or sent back: once a pod of it has said so, or none runs any more."""
    stopped = _stopped_at(status)
    if status.running_since is None or stopped is None:
        return status
    job, is_closed = job_of_run(seen, status), run_of(status) is Run.ENDED
    may_speak = quiet_in(seen, "train", now=now) > 0 and (is_closed or (job is not None and job.suspended))
    if may_speak and _told(seen, status) is None:
        return status
    if not is_closed and (job is None or not job.suspended):  # let go anew: its pods may be the next ones
        return with_usage(seen, status, steps=(None, None), step_seconds=None, now=stopped)
    start_step, end_step = _steps(seen, status)
    status = _with_last_checkpoint(seen, status)
    is_known = any(pod.ended for pod in pods_of_run(seen, status))
    status = _with_usage(seen, status, now=now if is_known else stopped)
    if not is_closed or not status.history:
        return status
    record = status.history[-1].model_copy(update={"start_step": start_step, "end_step": end_step})
    return _without_steps(status.model_copy(update={"history": [*status.history[:-1], record]}))


def _stopped_at(status: FineTuneJobStatus) -> datetime | None:
    """Return when we closed the run of the current gang, or a queue sent it back; None while it is on."""
    if run_of(status) is Run.ENDED and status.history and status.history[-1].ended:
        return moment(status.history[-1].ended)
    ready, restarts = condition(status.conditions, "PodsReady"), status.restarts
    is_queued = run_of(status) is Run.CREATED and ready is not None and ready.reason == QUEUED
    return moment(restarts.last_time) if is_queued and restarts and restarts.last_time else None


def requeued_by_queue(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    """Return the status after a queue took the gang's nodes back, which is a disruption: the same attempt goes on once it is admitted again.

    The condition tells that it was not in the queue before, and, written with the count, that it is counted.
    """
    job, ready = job_of_run(seen, status), condition(status.conditions, "PodsReady")
    if job is None or not job.suspended or ready is None or ready.reason in {QUEUED, NO_ATTEMPT}:
        return status
    restarts, policy = status.restarts or Restarts(), seen.job.spec.failure_policy
    preempted = Failure(failure_class=FailureClass.PREEMPTED.value)
    judged = verdict(preempted, restarts=restarts, policy=policy, now=stamp(now))
    if status.running_since is None:  # it came up while no operator ran
        begun = [pod.started for pod in pods_of(seen, job) if pod.started is not None and not pod.is_terminal]
        is_whole = len(begun) >= nodes_of(seen, status)
        status = status.model_copy(update={"running_since": stamp(max(begun)) if is_whole else None})
    if not judged.restart:  # the queue has the last word, and no count tells when it took them
        return _with_usage(seen, status, now=now)
    return status.model_copy(update={"restarts": judged.restarts})


def _ended(
    seen: ObservedJob, status: FineTuneJobStatus, *, reason: str, failure: Failure | None, now: datetime
) -> FineTuneJobStatus:
    status = _with_child_ended(status)
    if stage_of(status) == "train":
        status = _with_record(seen, _with_usage(seen, status, now=now), reason=reason, failure=failure, now=now)
    return _without_steps(_without_speed(status))


def _with_child_ended(status: FineTuneJobStatus) -> FineTuneJobStatus:
    child = child_of(status, stage := stage_of(status))
    return with_child(status, stage, child.model_copy(update={"ended": True})) if child is not None else status


def _without_speed(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status without speed and time left: those of a run that is over."""
    return _without_progress(status, "tokens_per_second", "eta", "eta_seconds")


def _without_steps(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status ready for the next attempt, which says anew where it starts."""
    return _without_progress(status, "start_step", "step_seconds")


def _without_progress(status: FineTuneJobStatus, *names: str) -> FineTuneJobStatus:
    progress = status.progress.model_copy(update=dict.fromkeys(names)) if status.progress else None
    return status.model_copy(update={"progress": progress})


def _with_usage(seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime) -> FineTuneJobStatus:
    return with_usage(seen, status, steps=_steps(seen, status), step_seconds=_step_seconds(seen, status), now=now)


def _with_record(
    seen: ObservedJob, status: FineTuneJobStatus, *, reason: str, failure: Failure | None, now: datetime
) -> FineTuneJobStatus:
    job = job_of_run(seen, status)
    start_step, end_step = _steps(seen, status)
    record = AttemptRecord(
        attempt=status.attempt or 0,
        start_step=start_step,
        end_step=end_step,
        started=stamp(job.created) if job else None,
        ended=stamp(now),
        failure_class=failure.failure_class if failure else None,
        reason=reason,
        node=failure.node if failure else None,
        nodes=nodes_of(seen, status),
    )
    return status.model_copy(update={"history": [*(status.history or ()), record][-_HISTORY:]})


def _steps(seen: ObservedJob, status: FineTuneJobStatus) -> tuple[int | None, int | None]:
    """Return the first and the last step of the attempt that is over: what its pods said as they ended, else what it last posted."""
    told = _told(seen, status)
    if told is not None:
        return told.start_step, told.steps
    posted = status.progress or Progress()
    return (posted.start_step, posted.step) if posted.start_step is not None else (None, None)


def _step_seconds(seen: ObservedJob, status: FineTuneJobStatus) -> float | None:
    """Return the time that the steps of the attempt that is over took, from the same sources."""
    told = _told(seen, status)
    return told.step_seconds if told is not None else (status.progress or Progress()).step_seconds


def _told(seen: ObservedJob, status: FineTuneJobStatus) -> TrainSummary | None:
    messages = map(termination_message_of, pods_of_run(seen, status))
    return next((message.train for message in messages if message is not None and message.train is not None), None)


def _with_last_checkpoint(seen: ObservedJob, status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status with the newest checkpoint that a pod named as it ended: its last post may be lost."""
    for message in map(termination_message_of, pods_of_run(seen, status)):
        if message is not None and (told := message.train) is not None:
            with suppress(ValidationError):
                status = with_checkpoint(with_start(status, told.start_step), latest=told.last, best=told.best)
    return status


def _handed_on(pods: tuple[PodView, ...]) -> tuple[PodView, TerminationMessage] | None:
    """Return the first pod, by rank, that succeeded and said what it made."""
    for pod in sorted(pods, key=lambda pod: pod.index):
        message = termination_message_of(pod)
        if message is not None and message.outcome == "Succeeded" and message.result is not None:
            return pod, message
    return None


def _is_dry_run(seen: ObservedJob) -> bool:
    preflight = seen.job.spec.preflight
    return preflight is not None and bool(preflight.dry_run)


def _completed(status: FineTuneJobStatus, *, reason: str, now: datetime) -> FineTuneJobStatus:
    artifact = status.artifact
    message = f"the artifact is at {artifact.uri}" if artifact else "checked and planned; preflight.dryRun ends here"
    conditions = with_condition(status.conditions, "Complete", true=True, reason=reason, message=message, now=now)
    return status.model_copy(update={"conditions": conditions, "completion_time": stamp(now)})
