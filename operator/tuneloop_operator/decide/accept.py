"""Whether a job or deployment that fits the schema can run here, with these settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.decide.refusal import Refusal
    from tuneloop_operator.settings.operator import OperatorSettings


def refusals_of(resource: FineTuneJob | ModelDeployment, settings: OperatorSettings) -> tuple[Refusal, ...]:
    """Return why the job or deployment cannot run here; empty if it can."""
    if isinstance(resource, FineTuneJob):
        return job_refusals(resource.spec, settings)
    return deployment_refusals(resource.spec, settings)
