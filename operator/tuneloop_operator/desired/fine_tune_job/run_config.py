"""The RunConfig of a stage: from the spec, the attempt, and the results of earlier stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import config_hash, with_defaults
from tuneloop_api.contract.progress import progress_path
from tuneloop_api.contract.run_config import (
    JobIdentity,
    ProgressEndpoint,
    Rendezvous,
    ResultReference,
    RunConfig,
    Settings,
)
from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.common.pod import CONFIG_DIRECTORY
from tuneloop_operator.names import ACCEPT_LOST_CHECKPOINT, job_name, rendezvous_name

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_api.v1alpha1.fine_tune_job.status import Child
    from tuneloop_operator.desired.common.storage import JobStorage
    from tuneloop_operator.settings.operator import OperatorSettings

CA_FILE = "ca.crt"
RENDEZVOUS_PORT = 29500


def run_config(
    job: FineTuneJob, *, stage: Stage, attempt: int, storage: JobStorage, settings: OperatorSettings
) -> RunConfig:
    """Return the RunConfig of a stage. attempt: 0 for all stages but `train`. The results of earlier stages come from the status."""
    namespace, name = job.metadata["namespace"], job.metadata["name"]
    filled = with_defaults(job.spec) if stage != "train" else attempt_settings(job)
    children = job.status.children if job.status else None
    rendezvous = Rendezvous(
        address=f"{job_name(job, stage='train', attempt=attempt)}-0.{rendezvous_name(job)}", port=RENDEZVOUS_PORT
    )
    return RunConfig(
        stage=stage,
        job=JobIdentity(namespace=namespace, name=name, uid=job.metadata["uid"]),
        attempt=attempt,
        settings=filled,
        config_hash=config_hash(filled),
        paths=storage.paths(job),
        rendezvous=rendezvous if stage == "train" else None,
        progress=ProgressEndpoint(
            url=settings.progress_url.rstrip("/") + progress_path(namespace, name),
            token_path=settings.token_path,
            ca_path=f"{CONFIG_DIRECTORY}/{CA_FILE}" if settings.progress_ca else None,
        ),
        begins_anew=_begins_anew(job) if stage == "prepare" else None,
        prepare_result=_result(children.prepare if children and stage != "prepare" else None),
        train_result=_result(children.train if children and stage == "export" else None),
        micro_batch_size=job.status.micro_batch_size if job.status and stage == "train" else None,
        resume_before=job.status.resume_before if job.status and stage == "train" else None,
        expected_step=_expected_step(job) if stage == "train" else None,
    )


def attempt_settings(job: FineTuneJob) -> Settings:
    """Return the settings of the current training attempt, which may have fewer nodes than the spec asks for."""
    filled = with_defaults(job.spec)
    if job.status is None or job.status.nodes is None:
        return filled
    return changed(filled, gang=changed(filled.gang, nodes=job.status.nodes))


def _begins_anew(job: FineTuneJob) -> str | None:
    """Return the name of this run if nothing of an earlier one may be gone on from: when it was created."""
    checkpoint = job.spec.checkpoint
    is_anew = checkpoint is not None and checkpoint.resume == "never"
    return job.metadata.get("creationTimestamp") if is_anew else None


def _expected_step(job: FineTuneJob) -> int | None:
    """Return the step of the newest checkpoint, which an attempt must find; None if the attempt may start at step 0."""
    status = job.status
    if status is None or status.checkpoint is None or status.checkpoint.latest is None:
        return None
    is_accepted = (job.metadata.get("annotations") or {}).get(ACCEPT_LOST_CHECKPOINT) == "true"
    return None if is_accepted or status.resume_before is not None else status.checkpoint.latest.step


def _result(child: Child | None) -> ResultReference | None:
    if child is None or child.result is None:
        return None
    return ResultReference(path=child.result.path, sha256=child.result.sha256)
