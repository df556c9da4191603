"""What the loop depends on, taken from a ModelDeployment, its jobs and its roll-out: the spec with its defaults, the champion, the run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.v1alpha1.model_deployment.retraining import (
    MOST_RUNS,
    Retraining,
    RetrainingBackoff,
    RetrainingBudget,
)
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.durations import seconds
from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.decision import Deletion
from tuneloop_operator.decide.feedback_sources import feedback_places, feedback_refusals
from tuneloop_operator.decide.model_deployment.offered_config import config_of
from tuneloop_operator.decide.model_deployment.retraining.facts import (
    Champion,
    Comparison,
    Facts,
    JobStage,
    LoopSpec,
    RunJob,
)
from tuneloop_operator.decide.model_deployment.retraining.state import Artifact
from tuneloop_operator.decide.model_deployment.retraining.view import view_of
from tuneloop_operator.decide.model_deployment.retraining_triggers import data_of, looked_at
from tuneloop_operator.decide.model_deployment.rollout_spec import has_rollouts, rollout_spec
from tuneloop_operator.decide.refusal import message_of
from tuneloop_operator.decide.unreadable import problems_of
from tuneloop_operator.desired.model_deployment.retraining_job import RunOrder, recipe_of, retraining_job
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference
from tuneloop_operator.state.conditions import condition, holds

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
    from tuneloop_operator.decide.model_deployment.retraining.state import Loop
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


_BETTER = "Better"
"""The only verdict of a comparison that is a reason to take the challenger."""

_ENDED = frozenset({JobStage.SUCCEEDED, JobStage.FAILED})


def loop_spec(deployment: ModelDeployment) -> LoopSpec:
    """Return `spec.retraining` with its defaults."""
    given = deployment.spec.retraining or Retraining()
    backoff, budget = given.backoff or RetrainingBackoff(), given.budget or RetrainingBudget()
    return LoopSpec(
        is_enabled=bool(given.enabled),
        is_suspended=bool(given.suspend),
        is_dry=bool(given.dry_run),
        requires_new_data=given.require_new_data is not False,
        cooldown=seconds(given.cooldown or "1d"),
        backoff_factor=2.0 if backoff.factor is None else backoff.factor,
        backoff_max=seconds(backoff.max or "14d"),
        most_runs=budget.max_runs or MOST_RUNS,
        most_gpu_seconds=None if budget.gpu_hours is None else budget.gpu_hours * 3600.0,
        window=seconds(budget.window or "30d"),
    )


def facts_of(
    observed: ObservedDeployment, loop: Loop, rollout: Rollout | None, *, now: datetime, settings: OperatorSettings
) -> Facts:
    """Return the facts. rollout: the memory of the roll-out; None: there was none."""
    deployment = observed.deployment
    revision = revision_of(observed, loop, settings=settings)
    challenger = loop.run.challenger if loop.run else None
    stable = deployment.status.stable if deployment.status else None
    template = template_of(observed)
    verdicts, memories = looked_at(observed, loop, now=now)
    return Facts(
        spec=loop_spec(deployment),
        deployment_uid=deployment.metadata["uid"],
        deployment_name=deployment.metadata["name"],
        model=_model_digest(deployment),
        verdicts=verdicts,
        trigger_memories=memories,
        champion=_champion(observed, loop),
        data=data_of(observed, loop, verdicts, now=now),
        recipe=recipe_of(deployment, template) if isinstance(template, FineTuneJob) else "",
        template_problem=template_problem(observed, settings=settings),
        runs_elsewhere=observed.runs_elsewhere,
        most_parallel_runs=settings.max_parallel_retrainings,
        refusal=_refusal(observed, loop.run.name) if loop.run else "",
        job=run_job(observed, loop.run.name) if loop.run else None,
        leftover=found.name if (found := leftover_job(observed, loop)) else "",
        rollout=replace(
            view_of(
                rollout,
                revision=revision,
                spec_digest=rollout_spec(deployment).digest,
                is_served=challenger is not None and stable is not None and stable.digest == challenger.digest,
                pin=deployment.spec.model.pin,
            ),
            is_possible=has_rollouts(deployment),
        ),
        revision=revision,
    )


def template_of(observed: ObservedDeployment) -> FineTuneJob | str:
    """Return the template of runs, or why there is none."""
    given = observed.deployment.spec.retraining
    if given is None or given.job_template_ref is None:
        return "spec.retraining.jobTemplateRef names no FineTuneJob"
    name = given.job_template_ref.name
    found = observed.retraining_jobs.get(name)
    if found is None:
        return f"spec.retraining.jobTemplateRef: there is no FineTuneJob {name} in this namespace"
    return (
        f"spec.retraining.jobTemplateRef: FineTuneJob {name} cannot be read: {found}"
        if isinstance(found, str)
        else found
    )


def template_problem(observed: ObservedDeployment, *, settings: OperatorSettings) -> str:
    """Return why no job can be made of the template of runs; empty if one can."""
    template = template_of(observed)
    return template if isinstance(template, str) else _problem(observed, template, settings=settings)


def revision_of(observed: ObservedDeployment, loop: Loop, *, settings: OperatorSettings) -> str:
    """Return the revision that serves the model of the run, under the spec of now; empty if none is on trial."""
    challenger = loop.run.challenger if loop.run else None
    if challenger is None:
        return ""
    artifact = ArtifactReference(uri=challenger.uri, digest=challenger.digest, size_bytes=challenger.size_bytes)
    return config_of(observed, artifact, settings).revision


def leftover_job(observed: ObservedDeployment, loop: Loop) -> Deletion | None:
    """Return what deletes the job of the last run that has ended, if that still works for nobody."""
    name = loop.history[-1].run.name if loop.history else ""
    job = run_job(observed, name)
    return None if job is None or job.stage in _ENDED else Deletion(kind="FineTuneJob", name=name, uid=job.uid)


def run_job(observed: ObservedDeployment, name: str) -> RunJob | None:
    """Return the job of a run as the loop sees it; None if there is none, or another object has its name."""
    job = observed.retraining_jobs.get(name)
    if not isinstance(job, FineTuneJob) or owner_uid({"metadata": job.metadata}) != observed.deployment.metadata["uid"]:
        return None
    status = job.status
    if status is None:
        return RunJob(uid=job.metadata["uid"], stage=JobStage.TRAINING)
    artifact = status.artifact
    return RunJob(
        uid=job.metadata["uid"],
        stage=_stage(job),
        data_digest=(status.data.digest if status.data else None) or "",
        gpu_seconds=status.usage.gpu_seconds if status.usage else 0.0,
        artifact=Artifact(job=name, uri=artifact.uri, digest=artifact.digest, size_bytes=artifact.size_bytes)
        if artifact
        else None,
        comparison=_comparison(status),
        message=_failure(job),
    )


def _comparison(status: FineTuneJobStatus) -> Comparison | None:
    """Return what the job found about its model and the champion; None: it compared nothing."""
    found = status.evaluation.comparison if status.evaluation else None
    if found is None:
        return None
    return Comparison(is_better=found.verdict == _BETTER, message=f"{found.verdict}: {found.message}")


def _refusal(observed: ObservedDeployment, name: str) -> str:
    """Return why the job of this name cannot be created; empty if nothing is known against it."""
    blocker = observed.blocker
    return blocker.message if blocker is not None and f"FineTuneJob {name}" in blocker.message else ""


def _stage(job: FineTuneJob) -> JobStage:
    status = job.status
    if status is None:
        return JobStage.TRAINING
    if holds(status.conditions, "Complete"):
        return JobStage.SUCCEEDED
    accepted = condition(status.conditions, "Accepted")
    if holds(status.conditions, "Failed") or (accepted is not None and accepted.status == "False"):
        return JobStage.FAILED
    return JobStage.EVALUATING if status.phase == "Exporting" else JobStage.TRAINING


def _failure(job: FineTuneJob) -> str:
    """Return why a job failed, or is refused; empty if neither."""
    name, status = job.metadata["name"], job.status
    if status is None or _stage(job) is not JobStage.FAILED:
        return ""
    if status.failure is not None:
        return f"FineTuneJob {name} failed: {status.failure.failure_class}: {status.failure.message}"
    accepted = condition(status.conditions, "Accepted")
    refused = accepted.message if accepted is not None and accepted.status == "False" else ""
    return f"FineTuneJob {name} is refused: {refused}" if refused else f"FineTuneJob {name} failed"


def _champion(observed: ObservedDeployment, loop: Loop) -> Champion | None:
    status = observed.deployment.status
    if status is None or status.stable is None:
        return None
    stable, source, given = status.stable, observed.source, observed.deployment.spec.retraining
    template = given.job_template_ref.name if given and given.job_template_ref else ""
    is_of_template = (
        loop.choice is None
        and source is not None
        and source.metadata["name"] == template
        and source.status is not None
        and source.status.artifact is not None
        and source.status.artifact.digest == stable.digest
    )
    data = source.status.data if is_of_template and source is not None and source.status is not None else None
    return Champion(
        revision=stable.revision, digest=stable.digest or stable.uri, data_digest=(data.digest or "") if data else ""
    )


def _model_digest(deployment: ModelDeployment) -> str:
    wire = deployment.spec.model.to_wire()
    return digest_of({name: value for name, value in wire.items() if name != "pin"})[:16]


def _problem(observed: ObservedDeployment, template: FineTuneJob, *, settings: OperatorSettings) -> str:
    """Return why the job of a run would be refused, such as for feedback that a deployment does not keep; empty if it can run."""
    order = RunOrder(
        name="run",
        trigger="manual",
        champion_revision="00000000",
        champion_uri="pvc://claim/artifact",
        cutoff="2026-01-01T00:00:00Z",
    )
    no_job = f"no job can be made of FineTuneJob {template.metadata['name']}: "
    try:
        spec = FineTuneJob.from_wire(retraining_job(observed.deployment, template, order)).spec
    except ValidationError as error:
        return f"{no_job}{problems_of(error, model=FineTuneJob).message}"
    deployments = observed.feedback_deployments
    refusals = (
        *job_refusals(spec, settings),
        *feedback_refusals(spec, places=feedback_places(deployments), deployments=deployments),
    )
    return f"{no_job}{message_of(refusals)}" if refusals else ""
