"""The RunConfig of a stage, from the spec, the attempt and the results of earlier stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import as_set, config_hash, is_of_first_release, with_defaults
from tuneloop_api.contract.progress import progress_path
from tuneloop_api.contract.run_config import JobIdentity, ProgressEndpoint, Rendezvous, ResultReference, RunConfig
from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.common.pod import CONFIG_DIRECTORY
from tuneloop_operator.desired.fine_tune_job.host_network import rendezvous_port
from tuneloop_operator.names import ACCEPT_LOST_CHECKPOINT, job_name, rendezvous_name

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_api.contract.settings import Settings
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_api.v1alpha1.fine_tune_job.status import Child, FineTuneJobStatus
    from tuneloop_operator.desired.common.storage import JobStorage
    from tuneloop_operator.settings.operator import OperatorSettings

CA_FILE = "ca.crt"


def run_config(
    job: FineTuneJob, *, stage: Stage, attempt: int, storage: JobStorage, settings: OperatorSettings
) -> RunConfig:
    """Return the RunConfig of a stage. `attempt` is 0 for all stages but `train`; results of earlier stages come from the status."""
    namespace, name = job.metadata["namespace"], job.metadata["name"]
    identity = run_identity(job)
    children = job.status.children if job.status else None
    rendezvous = Rendezvous(
        address=f"{job_name(job, stage='train', attempt=attempt)}-0.{rendezvous_name(job)}", port=rendezvous_port(job)
    )
    return RunConfig(
        version=1 if is_of_first_release(identity) else 2,
        stage=stage,
        job=JobIdentity(namespace=namespace, name=name, uid=job.metadata["uid"]),
        attempt=attempt,
        settings=stage_settings(job, stage=stage, identity=identity),
        config_hash=identity,
        paths=changed(storage.paths(job), feedback=storage.feedback_paths if stage == "prepare" else None),
        rendezvous=rendezvous if stage == "train" else None,
        progress=ProgressEndpoint(
            url=settings.progress_url.rstrip("/") + progress_path(namespace, name),
            token_path=settings.token_path,
            ca_path=f"{CONFIG_DIRECTORY}/{CA_FILE}" if settings.progress_ca else None,
        ),
        fresh_run_id=_fresh_run_id(job) if stage == "prepare" else None,
        prepare_result=_result(children.prepare if children and stage != "prepare" else None),
        train_result=_result(children.train if children and stage == "export" else None),
        micro_batch_size=job.status.micro_batch_size if job.status and stage == "train" else None,
        resume_before=job.status.resume_before if job.status and stage == "train" else None,
        expected_step=_expected_step(job) if stage == "train" else None,
        extended_resources=_extended_resources(job) if stage == "train" else None,
    )


def run_identity(job: FineTuneJob) -> str:
    """Return the hash that the job got when it began. A job keeps its hash for life: a later operator may compute another hash."""
    lineage = job.status.lineage if job.status else None
    return (lineage and lineage.config_hash) or config_hash(as_set(job.spec))


def attempt_settings(job: FineTuneJob) -> Settings:
    """Return the settings of the current training attempt with all defaults, for what the operator itself decides."""
    return _with_nodes(with_defaults(job.spec), job.status)


def stage_settings(job: FineTuneJob, *, stage: Stage, identity: str) -> Settings:
    """Return the settings of a stage: what the spec sets.

    The image of the job fills in its own defaults, but for that of release 0.1.0: its trainer expects to find epochs and warm-up.
    """
    settings = with_defaults(job.spec) if is_of_first_release(identity) else as_set(job.spec)
    return _with_nodes(settings, job.status) if stage == "train" else settings


def _with_nodes(settings: Settings, status: FineTuneJobStatus | None) -> Settings:
    """Return the settings with the nodes of the current attempt, which may be fewer than the spec asks for."""
    if status is None or status.nodes is None:
        return settings
    return changed(settings, gang=changed(settings.gang, nodes=status.nodes))


def _fresh_run_id(job: FineTuneJob) -> str | None:
    """Return the time of the job's creation as the name of a run that must not go on from earlier checkpoints; None if the run may."""
    checkpoint = job.spec.checkpoint
    is_fresh = checkpoint is not None and checkpoint.resume == "never"
    return job.metadata.get("creationTimestamp") if is_fresh else None


def _expected_step(job: FineTuneJob) -> int | None:
    """Return the step of the newest checkpoint, which an attempt must find; None where the attempt may begin at step 0."""
    status = job.status
    if status is None or status.checkpoint is None or status.checkpoint.latest is None:
        return None
    is_accepted = (job.metadata.get("annotations") or {}).get(ACCEPT_LOST_CHECKPOINT) == "true"
    return None if is_accepted or status.resume_before is not None else status.checkpoint.latest.step


def _extended_resources(job: FineTuneJob) -> list[str] | None:
    return sorted((job.spec.resources and job.spec.resources.extended) or ()) or None


def _result(child: Child | None) -> ResultReference | None:
    if child is None or child.result is None:
        return None
    return ResultReference(path=child.result.path, sha256=child.result.sha256)
