"""The start of a run: which run is next, when it may start, what the status says first, and what is created then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import config_hash, with_defaults
from tuneloop_api.v1alpha1.fine_tune_job.status import Child, Children, FineTuneJobStatus, Lineage, Restarts
from tuneloop_api.wire.model import changed
from tuneloop_operator.decide.base_model import BASE_MODEL, base_model_of, with_base_model
from tuneloop_operator.decide.decision import Decision, Deletion
from tuneloop_operator.decide.feedback_sources import FEEDBACK, FEEDBACK_SECRETS, feedback_secrets, places_of
from tuneloop_operator.decide.fine_tune_job.placement import SHRUNK
from tuneloop_operator.decide.fine_tune_job.restart import delay_seconds
from tuneloop_operator.desired.common.compare import covers
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.config_map import run_config_map
from tuneloop_operator.desired.fine_tune_job.network_policy import first_release_policy, job_policy
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.names import job_name
from tuneloop_operator.state.conditions import moment, stamp, with_condition
from tuneloop_operator.state.runs import Run, child_of, run_of, stage_of
from tuneloop_operator.status.pod_defaults import with_pod_defaults

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.run_config import Stage
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedJob

_CLAIM = "storageClaim"
"""Key of `status.resolved`. The operator's default claim may change while the job runs; the claim of the job must not."""


def with_next_run(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> FineTuneJobStatus:
    """Return the status that names the next run of the current stage. The first time, it also holds what is chosen once for the job."""
    stage = stage_of(status)
    if status.start_time is None:
        status = _with_choices(observed, status, now=now, settings=settings)
    resolved = with_pod_defaults(status.resolved, settings)
    if resolved != status.resolved:
        status = changed(status, resolved=resolved)
    if stage == "train":
        status = changed(status, attempt=_next_attempt(observed, status), nodes=_nodes(status))
    return with_child(status, stage, Child(name=job_name(observed.job, stage=stage, attempt=status.attempt or 0)))


def _next_attempt(observed: ObservedJob, status: FineTuneJobStatus) -> int:
    """Return the attempt number in the status if no Job of that attempt is known, else the next number.

    A create whose answer was lost is repeated under the same name. So the two requests make one Job, however late the first request arrives.
    """
    highest = max((job.attempt for job in observed.jobs if job.stage == "train"), default=0)
    last = status.attempt or 0
    child = child_of(status, "train")
    was_created = child is not None and (child.ended or child.uid is not None)
    return last if last > highest and not was_created else max(last, highest) + 1


def _nodes(status: FineTuneJobStatus) -> int | None:
    """Return the number of nodes of the next attempt if it is smaller than the spec asks for, else None."""
    last = status.history[-1] if status.history else None
    is_named = last is not None and (status.attempt or 0) > last.attempt
    return status.nodes if is_named or (last is not None and last.reason == SHRUNK) else None


def attempt_released(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """Return the status without a pending attempt, which the API server refused: the next attempt may take its number."""
    if stage_of(status) != "train" or run_of(status) is not Run.PENDING:
        return status
    return changed(status, children=changed(status.children or Children(), train=None))


def with_child(status: FineTuneJobStatus, stage: Stage, child: Child) -> FineTuneJobStatus:
    """Return the status with this entry for the Job of a stage."""
    return changed(status, children=changed(status.children or Children(), **{stage: child}))


def delay_left(status: FineTuneJobStatus, *, now: datetime) -> float:
    """Return the seconds that remain of the delay after the last restart: 0 if none do, or if the clock was set back."""
    restarts = status.restarts or Restarts()
    if restarts.last_time is None:
        return 0.0
    waited = (now - moment(restarts.last_time)).total_seconds()
    return max(delay_seconds(restarts.since_checkpoint) - waited, 0.0) if waited >= 0 else 0.0


def children_of_run(observed: ObservedJob, status: FineTuneJobStatus, *, settings: OperatorSettings) -> Decision:
    """Return a decision that creates the Job of the run that the status names, and its ConfigMap if that is missing or outdated.

    The ConfigMap of an earlier run with the same name may hold the result of an earlier `prepare`.
    """
    job = with_base_model(changed(observed.job, status=status), (status.resolved or {}).get(BASE_MODEL))
    stage, attempt = stage_of(status), status.attempt or 0
    number = attempt if stage == "train" else 0
    resolved = status.resolved or {}
    storage = storage_of(
        job.spec,
        default_claim=resolved.get(_CLAIM),
        feedback=resolved.get(FEEDBACK),
        feedback_secrets=resolved.get(FEEDBACK_SECRETS),
    )
    if storage is None:
        raise ValueError(f"FineTuneJob {job.metadata['namespace']}/{job.metadata['name']} was started without a claim")
    config = run_config_map(job, stage=stage, attempt=number, storage=storage, settings=settings)
    manifest = (
        train_job(job, attempt=attempt, storage=storage, settings=settings)
        if stage == "train"
        else stage_job(job, stage=stage, storage=storage, settings=settings)
    )
    name = config["metadata"]["name"]
    stored = observed.present.get(("ConfigMap", name))
    if stored is None:
        return Decision(create=(config, manifest))
    if covers(stored["metadata"].get("annotations"), config["metadata"]["annotations"]):
        return Decision(create=(manifest,))
    outdated = Deletion(kind="ConfigMap", name=name, uid=stored["metadata"]["uid"])
    return Decision(delete=(outdated,), create=(config, manifest))


def shared_children_to_apply(
    observed: ObservedJob, status: FineTuneJobStatus, *, settings: OperatorSettings
) -> tuple[Manifest, ...]:
    """Return the Service of the gang and the NetworkPolicy of all pods, if they are missing or were changed.

    They are created at the start of the job. So a conflict over their names is reported before the data is prepared.
    """
    wanted = [] if stage_of(status) == "export" else [rendezvous_service(observed.job)]
    if not settings.local:
        wanted += _policies(observed, stage_of(status), settings=settings)
    return tuple(
        manifest
        for manifest in wanted
        if not covers(observed.present.get((manifest["kind"], manifest["metadata"]["name"])), manifest)
    )


def _policies(observed: ObservedJob, stage: Stage, *, settings: OperatorSettings) -> list[Manifest]:
    """Return the NetworkPolicy of the job's pods; none for a gang that runs since release 0.1.0, unless connections are limited.

    The policy of that release is enough for training pods, and an upgrade leaves a gang alone.
    """
    wanted, former = job_policy(observed.job, settings=settings), first_release_policy(observed.job)
    stored = observed.present.get(("NetworkPolicy", wanted["metadata"]["name"]))
    return [] if stage == "train" and settings.egress is None and covers(stored, former) else [wanted]


def _with_choices(
    observed: ObservedJob, status: FineTuneJobStatus, *, now: datetime, settings: OperatorSettings
) -> FineTuneJobStatus:
    """Return the status with what is chosen once, at the start of the job: image, claims and hash of the settings."""
    places, base = places_of(observed), base_model_of(observed)
    secrets = feedback_secrets(observed.feedback_deployments)
    storage = storage_of(observed.job.spec, default_claim=settings.default_claim)
    return changed(
        status,
        start_time=stamp(now),
        image=observed.job.spec.image or settings.trainer_image,
        resolved=(status.resolved or {})
        | ({_CLAIM: storage.claim} if storage else {})
        | ({FEEDBACK: places} if places else {})
        | ({FEEDBACK_SECRETS: secrets} if secrets else {})
        | ({BASE_MODEL: base} if base else {}),
        # local mode replaces an object and goes on with its run, which keeps its hash
        lineage=status.lineage
        or Lineage(config_hash=config_hash(with_defaults(with_base_model(observed.job, base).spec))),
        conditions=with_condition(status.conditions, "Accepted", true=True, reason="Accepted", now=now),
    )
