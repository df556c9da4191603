"""Which artifacts a ModelDeployment serves: that of its model, and those of its adapters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_api.combinations.rules import options_of
from tuneloop_api.combinations.table import serves_adapter
from tuneloop_operator.desired.model_deployment.external_server import TASKS_OF_VLLM
from tuneloop_operator.desired.model_deployment.serving import AdapterReference, ArtifactReference
from tuneloop_operator.state.conditions import holds

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_api.v1alpha1.model_deployment.adapters import AdapterSource
    from tuneloop_operator.state.observed import ObservedDeployment

NEVER_COMES = frozenset({"JobFailed", "JobNotReadable", "AdapterAlone", "NoAdapter", "TaskNotServed"})
"""Reasons of an artifact that is not available, with which a person must act first."""


def artifact_of(observed: ObservedDeployment) -> ArtifactReference | tuple[str, str]:
    """Return the artifacts to serve, or the reason and the message of the condition that says why there are none."""
    model = chosen_artifact(observed) or _model(observed)
    if isinstance(model, tuple):
        return model
    adapters = []
    for source in observed.deployment.spec.adapters or ():
        adapter = _adapter(observed, source)
        if isinstance(adapter, tuple):
            return adapter
        adapters.append(adapter)
    return replace(model, adapters=tuple(adapters))


def chosen_artifact(observed: ObservedDeployment) -> ArtifactReference | None:
    """Return the model that serves in place of spec.model: that of a retraining, on trial or promoted; None: spec.model itself."""
    status = observed.deployment.status
    loop = status.retraining if status is not None else None
    runs = (loop.history if loop is not None else None) or ()
    on_trial = next((run.challenger for run in runs if run.outcome is None), None)
    found = on_trial or (loop.choice if loop is not None else None)
    if found is None:
        return None
    return ArtifactReference(uri=found.uri, digest=found.digest, size_bytes=found.size_bytes)


def _model(observed: ObservedDeployment) -> ArtifactReference | tuple[str, str]:
    model = observed.deployment.spec.model
    if model.uri is not None:
        return ArtifactReference(uri=model.uri, digest=model.digest)
    name = model.fine_tune_job_ref.name if model.fine_tune_job_ref else ""
    if observed.source_problem:
        return "JobNotReadable", f"FineTuneJob {name} cannot be read: {observed.source_problem}"
    if observed.source is None:
        return "JobNotFound", f"there is no FineTuneJob {name} in this namespace"
    if (problem := _task_not_served(observed, observed.source.spec.task_id)) is not None:
        return "TaskNotServed", f"FineTuneJob {name} trains for {observed.source.spec.task_id}, {problem}"
    output = observed.source.spec.output
    if output is not None and output.merge_adapter is False:
        alone = (
            f"FineTuneJob {name} publishes its adapter alone (output.mergeAdapter: false), which is no model to serve"
        )
        return (
            "AdapterAlone",
            f"{alone}: name it in spec.adapters beside its base model, or run the job under another name with output.mergeAdapter: true, the default",
        )
    return _published(observed.source, name=name)


def _task_not_served(observed: ObservedDeployment, task: str) -> str | None:
    """Return why the runtime does not serve a task, and what to do; None if it does."""
    runtime = observed.deployment.spec.runtime
    type_ = (runtime and runtime.type) or "Builtin"
    if type_ == "VLLM" and task not in TASKS_OF_VLLM:
        return f"runtime.type: VLLM serves {', '.join(TASKS_OF_VLLM)}; set runtime.type: Builtin"
    return None


def _adapter(observed: ObservedDeployment, source: AdapterSource) -> AdapterReference | tuple[str, str]:
    if source.uri is not None:
        return AdapterReference(name=source.name, uri=source.uri, digest=source.digest)
    name = source.fine_tune_job_ref.name if source.fine_tune_job_ref else ""
    job = observed.adapter_sources.get(name)
    if isinstance(job, str):
        return "JobNotReadable", f"adapter {source.name}: FineTuneJob {name} cannot be read: {job}"
    if job is None:
        return "JobNotFound", f"adapter {source.name}: there is no FineTuneJob {name} in this namespace"
    method = (job.spec.method and job.spec.method.type) or "lora"
    options = options_of(job.spec.method)
    if not serves_adapter(method, options):
        given = ", ".join((f"method.type: {method}", *sorted(options)))
        needed = "such an adapter comes of method.type: lora without useDora; the whole model of the job can be served with spec.model"
        return (
            "NoAdapter",
            f"adapter {source.name}: FineTuneJob {name} publishes no adapter that servers run beside a base model ({given}); {needed}",
        )
    found = _published(job, name=name)
    if isinstance(found, tuple):
        reason, message = found
        return reason, f"adapter {source.name}: {message}"
    return AdapterReference(name=source.name, uri=found.uri, digest=found.digest)


def _published(source: FineTuneJob, *, name: str) -> ArtifactReference | tuple[str, str]:
    """Return what a FineTuneJob has published, or reason and message as above."""
    status = source.status
    if status is None or status.artifact is None or not holds(status.conditions, "Complete"):
        if status is not None and holds(status.conditions, "Failed"):
            return "JobFailed", f"FineTuneJob {name} has failed; it published nothing"
        phase = status.phase if status and status.phase else "Pending"
        return "JobNotFinished", f"FineTuneJob {name} is {phase}; its model is served once it has succeeded"
    return ArtifactReference(
        uri=status.artifact.uri, digest=status.artifact.digest, size_bytes=status.artifact.size_bytes
    )
