"""What `spec.monitoring` may hold, and what it leaves alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from desired_pods import a_deployment
from monitored_in_memory import served

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.decide.model_deployment.baseline import MOST_SECONDS, wanted_baseline
from tuneloop_operator.decide.model_deployment.rollout_spec import rollout_spec
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config
from tuneloop_operator.settings.operator import OperatorSettings


@pytest.mark.parametrize(
    ("window", "refused"), [("14d", []), ("15d", ["BaselineWindowTooLong"]), ("337h", ["BaselineWindowTooLong"])]
)
def test_a_window_that_prometheus_does_not_keep_is_refused(window, refused) -> None:
    spec = a_deployment(monitoring={"baselineWindow": window}).spec
    assert [found.reason for found in deployment_refusals(spec, OperatorSettings())] == refused


def test_monitoring_makes_no_other_revision_and_offers_no_rejected_one_again() -> None:
    plain, monitored = a_deployment(), a_deployment(monitoring={"baselineWindow": "7d"})
    assert rollout_spec(monitored).digest == rollout_spec(plain).digest
    artifact = ArtifactReference(uri="pvc://models/a", digest=None)
    assert server_config(monitored, artifact) == server_config(plain, artifact)


def test_a_window_reaches_back_as_far_as_prometheus_keeps() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        deployment = ModelDeployment.from_wire(monitored.stored)
        wanted = wanted_baseline(deployment, now=monitored.harness.now + timedelta(days=90))
        assert wanted is not None
        assert wanted.seconds == MOST_SECONDS

    asyncio.run(story())
