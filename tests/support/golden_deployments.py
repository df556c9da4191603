"""The children of ModelDeployments that are written down whole in `tests/golden/operator`."""

from __future__ import annotations

from typing import Any

from golden_specs import LIMITED_ACCESS, SERVING, SETTINGS

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_api.v1alpha1.model_deployment.autoscaling import Autoscaling
from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_operator.desired.model_deployment.access import router_limits
from tuneloop_operator.desired.model_deployment.autoscaler import autoscaler
from tuneloop_operator.desired.model_deployment.comparator import (
    comparator_config,
    comparator_config_map,
    comparator_deployment,
    comparator_policy,
    comparator_service,
)
from tuneloop_operator.desired.model_deployment.disruption import router_budgets, server_budgets
from tuneloop_operator.desired.model_deployment.network_policy import server_policy
from tuneloop_operator.desired.model_deployment.router import router_config_map, router_deployment, router_policy
from tuneloop_operator.desired.model_deployment.service import (
    endpoints_service,
    revision_service,
    routed_service,
    stable_service,
)
from tuneloop_operator.desired.model_deployment.serving import (
    ArtifactReference,
    server_config,
    server_config_map,
    server_deployment,
)
from tuneloop_operator.desired.model_deployment.split import router_split
from tuneloop_operator.settings.egress import Destination
from tuneloop_operator.settings.operator import OperatorSettings


def reviews(spec: dict[str, Any]) -> ModelDeployment:
    """Return a deployment of this spec, as it is stored."""
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "team-a", "uid": "66666666-2222-3333-4444-555555555555"},
        "spec": spec,
    }
    return ModelDeployment.from_wire(manifest)


def serving_children(
    spec: dict[str, Any] = SERVING, settings: OperatorSettings = SETTINGS, *, metrics_port: int | None = None
) -> list[dict[str, Any]]:
    deployment = reviews(spec)
    artifact = ArtifactReference(uri="pvc://models/jobs/reviews-11111111/artifact", digest="sha256:" + "c" * 64)
    config = server_config(deployment, artifact, metrics_port=metrics_port)
    return [
        server_config_map(deployment, config),
        server_deployment(deployment, config, settings=settings),
        revision_service(deployment, revision=config.revision),
        stable_service(deployment, revision=config.revision),
        server_policy(deployment, settings=settings),
        *server_budgets(deployment, {config.revision: 2}),
    ]


def autoscaled_children() -> list[dict[str, Any]]:
    """The autoscaler by either signal, and in a roll-out."""
    deployment = reviews({"model": {"fineTuneJobRef": {"name": "reviews"}}, "autoscaling": {"max": 10}})
    by_requests = Autoscaling(min=2, max=6, signal="Concurrency", target=8)
    return [
        autoscaler(deployment, Autoscaling(max=10), revision="03ab0000", floor=1),
        autoscaler(deployment, by_requests, revision="03ab0000", floor=5),
    ]


def with_note_and_pull_secret() -> ModelDeployment:
    return reviews(SERVING | {"annotations": {"example.com/note": "a"}, "imagePullSecrets": [{"name": "registry"}]})


def routed_children() -> list[dict[str, Any]]:
    """The routers of a canary at 5 %, with the Services by which they find the pods, where the egress is limited."""
    deployment = with_note_and_pull_secret()
    weights = [{"revision": "7d1f0000", "weight": 5}, {"revision": "03ab0000", "weight": 95}]
    rollout = RolloutStatus.from_wire(
        {
            "strategy": "Canary",
            "stable": "03ab0000",
            "canary": "7d1f0000",
            "split": {"generation": 12, "weights": weights, "shadow": 10},
        }
    )
    egress = (Destination.from_wire({"namespace": "tuneloop-system", "ports": [8443]}),)
    authority = "-----BEGIN CERTIFICATE-----\nMIIB\n"
    settings = SETTINGS.model_copy(update={"egress": egress, "progress_ca": authority})
    return [
        router_config_map(deployment, router_split(deployment, rollout, sticky_header="x-user"), settings=settings),
        router_deployment(deployment, image="registry.example/router:1", replicas=2, settings=settings),
        router_policy(deployment, settings=settings),
        routed_service(deployment, stable="03ab0000"),
        endpoints_service(deployment, revision="7d1f0000"),
        *router_budgets(deployment, 2),
    ]


def compared_children() -> list[dict[str, Any]]:
    """The comparator of a canary, with a golden set, where the egress is limited."""
    deployment = with_note_and_pull_secret()
    golden_set = "pvc://golden/reviews.jsonl"
    config = comparator_config(deployment, stable="03ab0000", canary="7d1f0000", golden_set=golden_set)
    egress = (Destination.from_wire({"namespace": "tuneloop-system", "ports": [8443]}),)
    settings = SETTINGS.model_copy(update={"egress": egress})
    return [
        comparator_config_map(deployment, config),
        comparator_deployment(deployment, config, golden_set=golden_set, settings=settings),
        comparator_service(deployment),
        comparator_policy(deployment, settings=settings),
    ]


def children_with_limited_access() -> list[dict[str, Any]]:
    """The routers of a deployment with a key and a rate, which has no roll-out, and the policy of its servers."""
    deployment = reviews(SERVING | LIMITED_ACCESS)
    rollout = RolloutStatus.from_wire(
        {
            "strategy": "Recreate",
            "stable": "03ab0000",
            "split": {"generation": 1, "weights": [{"revision": "03ab0000", "weight": 100}]},
        }
    )
    split = router_split(deployment, rollout, limits=router_limits(deployment, routers=2))
    return [
        router_config_map(deployment, split, settings=SETTINGS),
        router_deployment(deployment, image="registry.example/router:1", replicas=2, settings=SETTINGS),
        server_policy(deployment, settings=SETTINGS, is_behind_routers=True),
    ]
