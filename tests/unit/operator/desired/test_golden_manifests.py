"""The children of some examples, whole. `TUNELOOP_UPDATE_GOLDEN=1 pytest …` writes the files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from golden_specs import (
    CUSTOM,
    FOURTH_ATTEMPT,
    LIMITED_ACCESS,
    MINIMAL,
    ON_HOST_NETWORK,
    PLACED,
    QUEUED,
    SERVING,
    TWO_NODES,
    VARIABLES,
    VLLM,
    VOLUMES,
)

from tuneloop_api.contract.server_config import METRICS_PORT
from tuneloop_api.crd.yaml_text import to_yaml
from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_api.v1alpha1.model_deployment.autoscaling import Autoscaling
from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.config_map import run_config_map
from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
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

GOLDEN = Path(__file__).parents[3] / "golden" / "operator"
SETTINGS = OperatorSettings(
    trainer_image="registry.example/tuneloop-trainer:0.1.0",
    server_image="registry.example/tuneloop-server:0.1.0",
    default_claim="models",
)
OWNERS = {
    ("FineTuneJob", "11111111-2222-3333-4444-555555555555"),
    ("ModelDeployment", "66666666-2222-3333-4444-555555555555"),
}
RESULT = {"path": "/tuneloop/claims/models/jobs/reviews-11111111/prepare.json", "sha256": "b" * 64}


def fine_tune_job(name: str, spec: dict[str, Any], status: dict[str, Any] | None = None) -> FineTuneJob:
    children = {
        "prepare": {"name": f"{name}-prepare", "uid": "2", "ended": True, "result": RESULT},
        "train": {"name": f"{name}-a1", "uid": "3", "ended": True, "result": RESULT},
    }
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": "team-a", "uid": "11111111-2222-3333-4444-555555555555"},
        "spec": spec,
        "status": {"attempt": 1, "children": children} | (status or {}),
    }
    return FineTuneJob.from_wire(manifest)


def job_children(name: str, spec: dict[str, Any], settings: OperatorSettings) -> list[dict[str, Any]]:
    job = fine_tune_job(name, spec)
    storage = storage_of(job.spec, default_claim=settings.default_claim)
    assert storage is not None
    shared = {"storage": storage, "settings": settings}
    return [
        run_config_map(job, stage="prepare", attempt=0, **shared),
        stage_job(job, stage="prepare", **shared),
        rendezvous_service(job),
        job_policy(job, settings=settings),
        run_config_map(job, stage="train", attempt=1, **shared),
        train_job(job, attempt=1, **shared),
        run_config_map(job, stage="export", attempt=0, **shared),
        stage_job(job, stage="export", **shared),
    ]


def fourth_attempt() -> list[dict[str, Any]]:
    job = fine_tune_job("reviews-queued", QUEUED, FOURTH_ATTEMPT)
    storage = storage_of(job.spec, default_claim=None)
    assert storage is not None
    given = {"attempt": 4, "storage": storage, "settings": SETTINGS}
    return [run_config_map(job, stage="train", **given), train_job(job, **given)]


def placed_children() -> list[dict[str, Any]]:
    job = fine_tune_job("reviews-placed", MINIMAL | PLACED, FOURTH_ATTEMPT)
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    shared = {"storage": storage, "settings": SETTINGS}
    servers = [child for child in serving_children(SERVING | PLACED) if child["kind"] == "Deployment"]
    return [stage_job(job, stage="prepare", **shared), train_job(job, attempt=4, **shared), *servers]


def children_with_variables() -> list[dict[str, Any]]:
    model = {"uri": "hf://org/gated", "secretRef": {"name": "hugging-face"}}
    job = fine_tune_job("reviews-variables", MINIMAL | VARIABLES | {"model": model})
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    shared = {"storage": storage, "settings": SETTINGS}
    servers = [child for child in serving_children(SERVING | VARIABLES) if child["kind"] == "Deployment"]
    return [
        run_config_map(job, stage="prepare", attempt=0, **shared),
        stage_job(job, stage="prepare", **shared),
        train_job(job, attempt=1, **shared),
        *servers,
    ]


def children_with_volumes() -> list[dict[str, Any]]:
    job = fine_tune_job("reviews-volumes", MINIMAL | VOLUMES)
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    shared = {"storage": storage, "settings": SETTINGS}
    servers = [child for child in serving_children(SERVING | VOLUMES) if child["kind"] == "Deployment"]
    return [stage_job(job, stage="export", **shared), train_job(job, attempt=1, **shared), *servers]


def children_on_host_network() -> list[dict[str, Any]]:
    job = fine_tune_job("reviews-infiniband", ON_HOST_NETWORK)
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    shared = {"storage": storage, "settings": changed(SETTINGS, allow_host_network=True)}
    return [
        stage_job(job, stage="prepare", **shared),
        rendezvous_service(job),
        run_config_map(job, stage="train", attempt=1, **shared),
        train_job(job, attempt=1, **shared),
    ]


def serving_children(
    spec: dict[str, Any] = SERVING, settings: OperatorSettings = SETTINGS, *, metrics_port: int | None = None
) -> list[dict[str, Any]]:
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "team-a", "uid": "66666666-2222-3333-4444-555555555555"},
        "spec": spec,
    }
    deployment = ModelDeployment.from_wire(manifest)
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
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "team-a", "uid": "66666666-2222-3333-4444-555555555555"},
        "spec": {"model": {"fineTuneJobRef": {"name": "reviews"}}, "autoscaling": {"max": 10}},
    }
    deployment = ModelDeployment.from_wire(manifest)
    by_requests = Autoscaling(min=2, max=6, signal="Concurrency", target=8)
    return [
        autoscaler(deployment, Autoscaling(max=10), revision="03ab0000", floor=1),
        autoscaler(deployment, by_requests, revision="03ab0000", floor=5),
    ]


def with_note_and_pull_secret() -> ModelDeployment:
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "team-a", "uid": "66666666-2222-3333-4444-555555555555"},
        "spec": SERVING | {"annotations": {"example.com/note": "a"}, "imagePullSecrets": [{"name": "registry"}]},
    }
    return ModelDeployment.from_wire(manifest)


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


def policies_with_egress() -> list[dict[str, Any]]:
    destinations = [
        {"namespace": "tuneloop-system", "ports": [8443]},
        {"cidr": "10.20.0.0/16", "except": ["10.20.1.0/24"], "ports": [443, 9000]},
        {"cidr": "fd00::/8"},
        {"ports": [443]},
    ]
    settings = SETTINGS.model_copy(update={"egress": tuple(map(Destination.from_wire, destinations))})
    return [
        job_policy(fine_tune_job("reviews", MINIMAL), settings=settings),
        *(child for child in serving_children(SERVING, settings) if child["kind"] == "NetworkPolicy"),
    ]


def children_with_limited_access() -> list[dict[str, Any]]:
    """The routers of a deployment with a key and a rate, which has no roll-out, and the policy of its servers."""
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "team-a", "uid": "66666666-2222-3333-4444-555555555555"},
        "spec": SERVING | LIMITED_ACCESS,
    }
    deployment = ModelDeployment.from_wire(manifest)
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


EXAMPLES = {
    "minimal": lambda: job_children("reviews", MINIMAL, SETTINGS),
    "two-node-lora": lambda: job_children(
        "reviews-large", TWO_NODES, SETTINGS.with_progress_ca("-----BEGIN CERTIFICATE-----\nMIIB\n")
    ),
    "queued-fourth-attempt": fourth_attempt,
    "serving": lambda: serving_children(metrics_port=METRICS_PORT),
    "serving-one-port": serving_children,  # a revision keeps the name that release 0.1.0 gave it
    "custom-runtime": lambda: serving_children(CUSTOM),
    "vllm": lambda: serving_children(VLLM),
    "routed": routed_children,
    "limited-access": children_with_limited_access,
    "compared": compared_children,
    "autoscaled": autoscaled_children,
    "placed": placed_children,
    "variables": children_with_variables,
    "policies-with-egress": policies_with_egress,
    "volumes": children_with_volumes,
    "host-network": children_on_host_network,
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_children_are_exactly_as_written_down(example: str) -> None:
    manifests = EXAMPLES[example]()
    file = GOLDEN / f"{example}.yaml"
    if os.environ.get("TUNELOOP_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("---\n".join(to_yaml(manifest) for manifest in manifests), encoding="utf-8")
    assert list(yaml.safe_load_all(file.read_text(encoding="utf-8"))) == manifests


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_child_is_removed_with_its_owner(example: str) -> None:
    for manifest in EXAMPLES[example]():
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) in OWNERS, manifest["metadata"]["name"]
        assert (owner["controller"], owner["blockOwnerDeletion"]) == (True, True), manifest["metadata"]["name"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_pod_can_run_where_pod_security_is_restricted(example: str) -> None:
    for manifest in EXAMPLES[example]():
        if manifest["kind"] not in {"Job", "Deployment"}:
            continue
        pod = manifest["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert pod["automountServiceAccountToken"] is False
