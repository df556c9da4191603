"""Who reaches our pods, and what they may connect to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuneloop_api.contract.server_config import METRICS_PORT, SERVER_PORT
from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_operator.desired.common.compare import covers
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.desired.model_deployment.network_policy import server_policy
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config, server_deployment
from tuneloop_operator.settings.environment import SettingsError
from tuneloop_operator.settings.operator import OperatorSettings

METADATA: dict[str, Any] = {"name": "reviews", "namespace": "team-a", "uid": "11111111-2222-3333-4444-555555555555"}
SETTINGS = OperatorSettings(default_claim="models")
PROGRESS = '[{"namespace": "tuneloop-system", "ports": [8443]}]'
DNS = {"ports": [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]}
GANG = {"app.kubernetes.io/managed-by": "tuneloop", "tuneloop.dev/job": "reviews", "tuneloop.dev/stage": "train"}
JOB = FineTuneJob.from_wire(
    {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": METADATA,
        "spec": {
            "model": {"uri": "hf://FacebookAI/roberta-base"},
            "task": "text-classification",
            "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
        },
    }
)
DEPLOYMENT = ModelDeployment.from_wire(
    {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": METADATA,
        "spec": {"model": {"uri": "pvc://models/artifact"}},
    }
)


def templates() -> dict[str, dict[str, Any]]:
    """Return the pod template of each stage, and of the servers."""
    storage = storage_of(JOB.spec, default_claim="models")
    assert storage is not None
    artifact = ArtifactReference(uri="pvc://models/artifact", digest=None)
    config = server_config(DEPLOYMENT, artifact, metrics_port=METRICS_PORT)
    jobs = {
        "prepare": stage_job(JOB, stage="prepare", storage=storage, settings=SETTINGS),
        "train": train_job(JOB, attempt=3, storage=storage, settings=SETTINGS),
        "export": stage_job(JOB, stage="export", storage=storage, settings=SETTINGS),
        "server": server_deployment(DEPLOYMENT, config, settings=SETTINGS),
    }
    return {name: manifest["spec"]["template"] for name, manifest in jobs.items()}


def with_egress(text: str) -> OperatorSettings:
    return OperatorSettings.from_environment({"TUNELOOP_EGRESS": text, "TUNELOOP_DEFAULT_CLAIM": "models"})


def selects(selector: dict[str, Any], template: dict[str, Any]) -> bool:
    labels = template["metadata"]["labels"]
    has_all = all(expression["key"] in labels for expression in selector.get("matchExpressions", ()))
    return has_all and bool(selector["matchLabels"].items() <= labels.items())


def selected(selector: dict[str, Any]) -> list[str]:
    return [name for name, template in templates().items() if selects(selector, template)]


def test_only_the_gang_reaches_the_pods_of_a_job() -> None:
    spec = job_policy(JOB, settings=SETTINGS)["spec"]
    assert selected(spec["podSelector"]) == ["prepare", "train", "export"]
    ((peer,),) = [rule["from"] for rule in spec["ingress"]]
    assert selected(peer["podSelector"]) == ["train"]
    assert spec["policyTypes"] == ["Ingress"]


def test_everybody_reaches_the_ports_of_the_servers_alone() -> None:
    spec = server_policy(DEPLOYMENT, settings=SETTINGS)["spec"]
    assert selected(spec["podSelector"]) == ["server"]
    assert spec["ingress"] == [{"ports": [{"port": port, "protocol": "TCP"} for port in (SERVER_PORT, METRICS_PORT)]}]
    (container,) = templates()["server"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [SERVER_PORT, METRICS_PORT]
    assert spec["policyTypes"] == ["Ingress"]


def test_a_job_and_a_deployment_of_one_name_have_two_policies() -> None:
    made = [job_policy(JOB, settings=SETTINGS), server_policy(DEPLOYMENT, settings=SETTINGS)]
    assert [policy["metadata"]["name"] for policy in made] == ["reviews-train", "reviews-servers"]


def test_pods_connect_to_dns_their_gang_and_the_named_places() -> None:
    settings = with_egress(PROGRESS)
    progress = {
        "ports": [{"port": 8443, "protocol": "TCP"}],
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tuneloop-system"}}}],
    }
    gang = {"to": [{"podSelector": {"matchLabels": GANG}}]}  # all ports: NCCL chooses its own
    of_job, of_servers = (
        job_policy(JOB, settings=settings)["spec"],
        server_policy(DEPLOYMENT, settings=settings)["spec"],
    )
    assert of_job["policyTypes"] == of_servers["policyTypes"] == ["Ingress", "Egress"]
    assert of_job["egress"] == [DNS, gang, progress]
    assert of_servers["egress"] == [DNS, progress]


@pytest.mark.parametrize(
    ("destination", "rule"),
    [
        ({"ports": [443]}, {"ports": [{"port": 443, "protocol": "TCP"}]}),
        ({"cidr": "10.0.0.0/8"}, {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}),
        ({"cidr": "FD00::/8", "except": ["fd00:1::/32"]}, {"to": [{"ipBlock": {"cidr": "fd00::/8", "except": ["fd00:1::/32"]}}]}),
    ],
)  # fmt: skip
def test_a_place_becomes_a_rule(destination: dict[str, Any], rule: dict[str, Any]) -> None:
    settings = with_egress(json.dumps([destination]))
    assert server_policy(DEPLOYMENT, settings=settings)["spec"]["egress"] == [DNS, rule]


def test_no_place_at_all_leaves_dns_and_the_gang() -> None:
    assert len(job_policy(JOB, settings=with_egress("[]"))["spec"]["egress"]) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        "{}",
        "[{}]",
        '[{"cidr": "10.0.0.1/8"}]',
        '[{"cidr": "10.0.0.0/8", "namespace": "a"}]',
        '[{"ports": []}]',
        '[{"ports": [0]}]',
        '[{"ports": [1], "except": ["10.0.0.0/8"]}]',
        '[{"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}]',
        '[{"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}]',
        '[{"cidr": "10.0.0.0/8", "except": ["fd00::/8"]}]',
        '[{"port": 1}]',
    ],
)
def test_a_place_that_is_none_is_refused_when_the_operator_starts(wrong: str) -> None:
    with pytest.raises(SettingsError, match="TUNELOOP_EGRESS=.*allowed is JSON: a list of places"):
        with_egress(wrong)


@pytest.mark.parametrize(("before", "after"), [("[]", PROGRESS), (None, "[]"), ("[]", None)])
def test_a_change_of_the_setting_changes_a_stored_policy(before: str | None, after: str | None) -> None:
    old, new = (job_policy(JOB, settings=SETTINGS if text is None else with_egress(text)) for text in (before, after))
    assert covers(old, old)
    assert not covers(old, new)
