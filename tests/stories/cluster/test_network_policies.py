"""The NetworkPolicies of jobs and deployments, enforced by the kernel: pods are network namespaces with the labels that the operator gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cluster_tier
import pytest
from cluster import machine
from cluster.errors import ClusterError
from policy_network import Pod, PolicyNetwork

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.desired.model_deployment.network_policy import server_policy
from tuneloop_operator.desired.model_deployment.router import router_deployment, router_policy
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config, server_deployment
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

FREE = OperatorSettings(default_claim="models")
LIMITED = OperatorSettings.model_validate(
    {
        "default_claim": "models",
        "egress": [
            {"namespace": "tuneloop-system", "ports": [8443]},
            {"cidr": "10.20.0.0/16", "except": ["10.20.1.0/24"], "ports": [443, 9000]},
        ],
    }
)
PORTS = (53, 443, 8080, 8081, 8443, 9000, 29500)
OUTSIDE = (
    Pod("storage", "10.20.0.5"),
    Pod("other-storage", "10.20.1.5"),
    Pod("internet", "192.0.2.9"),
    Pod("operator", "10.77.0.90", "tuneloop-system", {"app.kubernetes.io/name": "tuneloop"}),
    Pod("dns", "10.77.0.91", "kube-system", {"k8s-app": "kube-dns"}),
    Pod("stranger", "10.77.0.92", "team-a", {"app": "shop"}),
)


def job_of(name: str, namespace: str) -> FineTuneJob:
    spec = {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
    }
    metadata = {"name": name, "namespace": namespace, "uid": f"{name}-{namespace}"}
    return FineTuneJob.from_wire(
        {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata, "spec": spec}
    )


JOB = job_of("reviews", "team-a")
DEPLOYMENT = ModelDeployment.from_wire(
    {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "team-a", "uid": "1"},
        "spec": {"model": {"uri": "pvc://models/artifact"}},
    }
)


def labels_of(child: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = child["spec"]["template"]["metadata"]["labels"]
    return labels


def pods_of(job: FineTuneJob, *, first: int) -> list[Pod]:
    """Return the pods of every stage. A name that is taken in `team-a` gets the namespace, or the job, before it."""
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    stages = {
        stage: labels_of(stage_job(job, stage=stage, storage=storage, settings=FREE)) for stage in ("prepare", "export")
    }
    gang = labels_of(train_job(job, attempt=1, storage=storage, settings=FREE))
    pods = {**stages, "train-0": gang, "train-1": gang}
    name, namespace = str(job.metadata["name"]), str(job.metadata["namespace"])
    before = "" if job is JOB else f"{name}-" if namespace == "team-a" else f"{namespace}-"
    return [
        Pod(f"{before}{pod}", f"10.77.0.{first + number}", namespace, labels)
        for number, (pod, labels) in enumerate(pods.items())
    ]


def network_of(settings: OperatorSettings) -> PolicyNetwork:
    jobs = (JOB, job_of("other", "team-a"), job_of("reviews", "team-b"))
    config = server_config(DEPLOYMENT, ArtifactReference(uri="pvc://models/artifact", digest=None))
    server = Pod("server", "10.77.0.80", "team-a", labels_of(server_deployment(DEPLOYMENT, config, settings=settings)))
    routers = router_deployment(DEPLOYMENT, image="router:1", replicas=2, settings=settings)
    router = Pod("router", "10.77.0.81", "team-a", labels_of(routers))
    pods = [pod for number, job in enumerate(jobs) for pod in pods_of(job, first=10 * number + 1)]
    policies = [*(job_policy(job, settings=settings) for job in jobs), server_policy(DEPLOYMENT, settings=settings)]
    policies.append(router_policy(DEPLOYMENT, settings=settings))
    return PolicyNetwork([*pods, server, router, *OUTSIDE], policies, ports=PORTS)


@pytest.fixture(scope="module", autouse=True)
def able_machine() -> None:
    try:
        if cluster_tier.required():
            machine.install_packages(say=print)
        machine.check()
    except ClusterError as error:
        cluster_tier.cannot_run(str(error))


@pytest.fixture(scope="module")
def free(able_machine) -> Iterator[PolicyNetwork]:
    """What pods connect to is free."""
    with network_of(FREE) as network:
        yield network


@pytest.fixture(scope="module")
def limited(able_machine) -> Iterator[PolicyNetwork]:
    """The administrator has named what pods may connect to."""
    with network_of(LIMITED) as network:
        yield network


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("train-0", "train-1", 29500),
        ("train-1", "train-0", 443),
        ("stranger", "server", 8080),
        ("internet", "server", 8080),
        ("team-b-train-0", "server", 8080),
        ("internet", "server", 8081),
        ("stranger", "router", 8080),
        ("internet", "router", 8081),
        ("router", "server", 8080),
        ("stranger", "server", 8081),
        ("train-0", "internet", 9000),
        ("prepare", "storage", 9000),
        ("export", "other-storage", 9000),
        ("server", "stranger", 443),
        ("stranger", "internet", 443),
    ],
)
def test_by_default_there_is_a_way(free, source, target, port):
    assert free.connects(source, target, port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("stranger", "train-0", 29500),
        ("other-train-0", "train-0", 29500),
        ("team-b-train-0", "train-0", 29500),
        ("prepare", "train-0", 29500),
        ("server", "train-0", 29500),
        ("operator", "train-0", 8443),
        ("internet", "train-0", 29500),
        ("stranger", "prepare", 8080),
        ("stranger", "export", 8080),
        ("stranger", "export", 8081),
        ("operator", "export", 443),
        ("stranger", "server", 443),
        ("train-0", "server", 29500),
        ("stranger", "router", 9000),
        ("server", "router", 443),
    ],
)
def test_by_default_there_is_no_way(free, source, target, port):
    assert not free.connects(source, target, port)


@pytest.mark.parametrize("pod", ["prepare", "train-0", "export", "server", "router"])
@pytest.mark.parametrize(("target", "port"), [("dns", 53), ("operator", 8443), ("storage", 9000), ("storage", 443)])
def test_what_the_administrator_named_is_reached_by_every_pod(limited, pod, target, port):
    assert limited.connects(pod, target, port)


@pytest.mark.parametrize("pod", ["prepare", "train-0", "export", "server", "router"])
@pytest.mark.parametrize(
    ("target", "port"),
    [
        ("internet", 443),
        ("operator", 8080),
        ("storage", 8080),
        ("other-storage", 9000),
        ("stranger", 8080),
        ("dns", 443),
    ],
)
def test_nothing_else_is_reached(limited, pod, target, port):
    assert not limited.connects(pod, target, port)


def test_gangs_and_routers_work_where_connections_are_limited(limited):
    assert limited.connects("train-0", "train-1", 29500)
    assert limited.connects("stranger", "server", 8080)
    assert limited.connects("router", "server", 8080)
    assert limited.delivers("train-0", "dns", 53)
    assert not limited.delivers("train-0", "internet", 443)


def test_pods_that_are_not_ours_are_left_alone(limited):
    assert limited.connects("stranger", "internet", 443)
    assert limited.connects("internet", "stranger", 29500)
