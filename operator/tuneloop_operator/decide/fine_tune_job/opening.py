"""The begin of a run: what is written into the status first, what is created then, and when that may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import config_hash, with_defaults
from tuneloop_api.v1alpha1.fine_tune_job.status import Child, Children, FineTuneJobStatus, Lineage, Restarts
from tuneloop_operator.decide.decision import Decision, Deletion
from tuneloop_operator.decide.fine_tune_job.placement import SHRUNK
from tuneloop_operator.decide.fine_tune_job.restart import delay_seconds
from tuneloop_operator.desired.common.compare import covers
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.config_map import run_config_map
from tuneloop_operator.desired.fine_tune_job.network_policy import gang_policy
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.names import job_name
from tuneloop_operator.state.conditions import moment, stamp, with_condition
from tuneloop_operator.state.runs import Run, child_of, run_of, stage_of

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.run_config import Stage
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedJob

_CLAIM = "storageClaim"
"""Key of `status.resolved`: the operator's default claim may change while the job runs, the job's must not."""


def opened(
    seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> FineTuneJobStatus:
    """Return the status that names the next run of the current stage."""
    stage = stage_of(status)
    if status.start_time is None:
        status = _started(seen, status, now=now, settings=settings)
    if stage == "train":
        status = status.model_copy(update={"attempt": _next_attempt(seen, status), "nodes": _nodes(status)})
    return with_child(status, stage, Child(name=job_name(seen.job, stage=stage, attempt=status.attempt or 0)))


def _next_attempt(seen: ObservedJob, status: FineTuneJobStatus) -> int:
    """Return the number that the status names, as long as no Job of it was ever seen, else the next one.

    A create whose answer was lost is done once more under its own name, so that it can only ever make one Job, however late it lands.
    """
    highest = max((job.attempt for job in seen.jobs if job.stage == "train"), default=0)
    last = status.attempt or 0
    child = child_of(status, "train")
    was_seen = child is not None and (child.ended or child.uid is not None)
    return last if last > highest and not was_seen else max(last, highest) + 1


def _nodes(status: FineTuneJobStatus) -> int | None:
    """Return the nodes of the next attempt: those that a gang was made smaller to, else None for all of them."""
    last = status.history[-1] if status.history else None
    was_opened = last is not None and (status.attempt or 0) > last.attempt
    return status.nodes if was_opened or (last is not None and last.reason == SHRUNK) else None


def attempt_released(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status after the API server refused the run that it names: its attempt's number may be used again."""
    if stage_of(status) != "train" or run_of(status) is not Run.PENDING:
        return status
    children = (status.children or Children()).model_copy(update={"train": None})
    return status.model_copy(update={"children": children})


def with_child(status: FineTuneJobStatus, stage: Stage, child: Child) -> FineTuneJobStatus:
    """Return the status with this child in place of the stage's."""
    children = (status.children or Children()).model_copy(update={stage: child})
    return status.model_copy(update={"children": children})


def delay_left(status: FineTuneJobStatus, *, now: datetime) -> float:
    """Return the seconds until the delay after the last restart is over; 0 if it is, or if the clock was set back behind it."""
    restarts = status.restarts or Restarts()
    if restarts.last_time is None:
        return 0.0
    waited = (now - moment(restarts.last_time)).total_seconds()
    return max(delay_seconds(restarts.since_checkpoint) - waited, 0.0) if waited >= 0 else 0.0


def children_of_run(seen: ObservedJob, status: FineTuneJobStatus, *, settings: OperatorSettings) -> Decision:
    """Return the creation of the Job of the run that the status names, and of its ConfigMap, if that is not there as it must be.

    One is left by an earlier run of the name, which may have been told of another result of `prepare`.
    """
    job = seen.job.model_copy(update={"status": status})
    stage, attempt = stage_of(status), status.attempt or 0
    number = attempt if stage == "train" else 0
    storage = storage_of(job.spec, default_claim=(status.resolved or {}).get(_CLAIM))
    if storage is None:
        raise ValueError(f"FineTuneJob {job.metadata['namespace']}/{job.metadata['name']} was started without a claim")
    config = run_config_map(job, stage=stage, attempt=number, storage=storage, settings=settings)
    made = (
        train_job(job, attempt=attempt, storage=storage, settings=settings)
        if stage == "train"
        else stage_job(job, stage=stage, storage=storage, settings=settings)
    )
    name = config["metadata"]["name"]
    stored = seen.present.get(("ConfigMap", name))
    if stored is None:
        return Decision(create=(config, made))
    if covers(stored["metadata"].get("annotations"), config["metadata"]["annotations"]):
        return Decision(create=(made,))
    outdated = Deletion(kind="ConfigMap", name=name, uid=stored["metadata"]["uid"])
    return Decision(delete=(outdated,), create=(config, made))


def gang_children_to_apply(
    seen: ObservedJob, status: FineTuneJobStatus, *, settings: OperatorSettings
) -> tuple[Manifest, ...]:
    """Return what a gang needs besides its Job, where that is missing or was changed.

    It is there from the job's start: whatever stands in its way is told before the data is prepared, and a gang need not wait for it.
    """
    if stage_of(status) == "export":
        return ()
    wanted = [rendezvous_service(seen.job), *([] if settings.local else [gang_policy(seen.job)])]
    return tuple(
        manifest
        for manifest in wanted
        if not covers(seen.present.get((manifest["kind"], manifest["metadata"]["name"])), manifest)
    )


def _started(
    seen: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> FineTuneJobStatus:
    """Return the status with what is chosen once, at the start."""
    storage = storage_of(seen.job.spec, default_claim=settings.default_claim)
    return status.model_copy(
        update={
            "start_time": stamp(now),
            "image": seen.job.spec.image or settings.trainer_image,
            "resolved": (status.resolved or {}) | ({_CLAIM: storage.claim} if storage else {}),
            "lineage": Lineage(config_hash=config_hash(with_defaults(seen.job.spec))),
            "conditions": with_condition(status.conditions, "Accepted", true=True, reason="Accepted", now=now),
        }
    )
