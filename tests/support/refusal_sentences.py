"""Why jobs and deployments with some fields are refused, as sentences."""

from __future__ import annotations

from typing import Any

from tuneloop_api.v1alpha1 import FineTuneJobSpec, ModelDeploymentSpec
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.settings.operator import OperatorSettings

SETTINGS = OperatorSettings(default_claim="models")


def refusals(**fields: Any) -> list[str]:
    """Return the sentences for a job, which are those for a deployment too."""
    job = {"model": {"uri": "hf://a/b"}, "task": "text-classification", "data": {"train": [{"uri": "pvc://c/x"}]}}
    found = [str(refusal) for refusal in job_refusals(FineTuneJobSpec.from_wire(job | fields), SETTINGS)]
    served = ModelDeploymentSpec.from_wire({"model": {"uri": "pvc://c/x"}} | fields)
    assert [str(refusal) for refusal in deployment_refusals(served, SETTINGS)] == found
    return found
