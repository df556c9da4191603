"""The model that a job begins with, where it is that of another job (`job://NAME`): where it lies, and why it is nowhere yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import MODEL_FOLDER
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.uris import base_job
from tuneloop_operator.decide.refusal import Refusal
from tuneloop_operator.state.conditions import holds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
    from tuneloop_operator.state.observed import ObservedJob

BASE_MODEL = "baseModel"
"""Key of `status.resolved`: address of the model of another job, and the digest of its artifact. Chosen when the job begins."""


def base_model_of(observed: ObservedJob) -> dict[str, str] | None:
    """Return the address of the model of another job, and the digest of the artifact that it lies in; None if there is no such model."""
    status = observed.job.status
    known: dict[str, str] | None = ((status and status.resolved) or {}).get(BASE_MODEL)
    return known or published_model(observed.base_job)


def published_model(job: FineTuneJob | str | None) -> dict[str, str] | None:
    """Return what a job has published, as `base_model_of` does. job: for one that cannot be read the reason; None: there is none."""
    if not isinstance(job, FineTuneJob) or job.status is None or job.status.artifact is None:
        return None
    if _publishes_adapter_alone(job) or not holds(job.status.conditions, "Complete"):
        return None
    artifact = job.status.artifact
    return {"uri": f"{artifact.uri}/{MODEL_FOLDER}", "digest": artifact.digest}


def with_base_model(job: FineTuneJob, base: dict[str, str] | None) -> FineTuneJob:
    """Return the job with the address of its model in place of `job://NAME`. base: from `base_model_of`."""
    if base is None:
        return job
    return changed(job, spec=changed(job.spec, model=changed(job.spec.model, uri=base["uri"])))


def base_model_refusals(job: FineTuneJob, base: FineTuneJob | str | None) -> Iterator[Refusal]:
    """Yield why a job has no model to begin with. base: the job whose model is meant, as in `published_model`."""
    name = base_job(job.spec.model.uri)
    if name is None or (name != job.metadata["name"] and published_model(base)):
        return
    reason, why = _why(name, base, own=job.metadata["name"])
    yield Refusal(
        reason=reason,
        field="spec.model.uri",
        given=job.spec.model.uri,
        allowed=why,
        example="hf://FacebookAI/roberta-base",
    )


def _why(name: str, base: FineTuneJob | str | None, *, own: str) -> tuple[str, str]:
    """Return reason and sentence."""
    if name == own:
        return "CycleDetected", "a job cannot begin with its own model"
    if base is None:
        return (
            "JobNotFound",
            f"there is no FineTuneJob {name} in this namespace; the job starts once there is one that has succeeded",
        )
    if isinstance(base, str):
        return "JobNotReadable", f"FineTuneJob {name} cannot be read ({base})"
    if _publishes_adapter_alone(base):
        return (
            "AdapterAlone",
            f"FineTuneJob {name} publishes its adapter alone (output.mergeAdapter: false), which is no model to begin with",
        )
    has_started = base.status is not None and base.status.start_time is not None
    if base_job(base.spec.model.uri) == own and not has_started:
        return "CycleDetected", f"FineTuneJob {name} begins with the model of this job, so that neither can start"
    return _why_unpublished(name, base.status)


def _why_unpublished(name: str, status: FineTuneJobStatus | None) -> tuple[str, str]:
    if status is not None and holds(status.conditions, "Failed"):
        return "JobFailed", f"FineTuneJob {name} has failed; it published nothing"
    if status is not None and holds(status.conditions, "Complete"):
        return "NothingPublished", f"FineTuneJob {name} has succeeded and published nothing (preflight.dryRun: true)"
    phase = status.phase if status and status.phase else "Pending"
    return "JobNotFinished", f"FineTuneJob {name} is {phase}; the job starts once it has succeeded"


def _publishes_adapter_alone(job: FineTuneJob) -> bool:
    return job.spec.output is not None and job.spec.output.merge_adapter is False
