"""The children of some examples, whole. `TUNELOOP_UPDATE_GOLDEN=1 pytest …` writes the files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from golden_deployments import (
    autoscaled_children,
    children_with_limited_access,
    compared_children,
    routed_children,
    serving_children,
)
from golden_jobs import children_on_host_network, fine_tune_job, fourth_attempt, job_children
from golden_specs import (
    CUSTOM,
    FOURTH_ATTEMPT,
    MINIMAL,
    PLACED,
    SERVING,
    SETTINGS,
    TWO_NODES,
    VARIABLES,
    VLLM,
    VOLUMES,
)

from tuneloop_api.contract.server_config import METRICS_PORT
from tuneloop_api.crd.yaml_text import to_yaml
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.config_map import run_config_map
from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.settings.egress import Destination

GOLDEN = Path(__file__).parents[3] / "golden" / "operator"
OWNERS = {
    ("FineTuneJob", "11111111-2222-3333-4444-555555555555"),
    ("ModelDeployment", "66666666-2222-3333-4444-555555555555"),
}


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
