"""Fault proxy, operator and played pods together: a FineTuneJob succeeds, and two runs end alike."""

from __future__ import annotations

import pytest
from end_state import end_state, reference
from fault_proxy import FaultProxy, tally
from operator_process import RunningOperator
from pod_status_patcher import PodStatusPatcher
from waiting import until

NODES = [f"played-{number}" for number in range(3)]
JOB = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "reviews"},
    "spec": {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
        "resources": {"nodes": 2, "gpusPerNode": 0},
        "storage": {"claim": "models"},
    },
}


@pytest.fixture
def second(control_plane, namespace):
    """The name of another namespace."""
    name = f"{namespace}-second"
    assert control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    until(lambda: control_plane.request("GET", account).status == 200, seconds=20, what="a service account")
    yield name
    control_plane.request("DELETE", f"/api/v1/namespaces/{name}")


def test_a_fine_tune_job_succeeds_and_two_runs_end_alike(custom_resources, namespace, second, tmp_path):
    """All three tools with the operator: proxy between it and the API server, pods played, the end compared."""
    plane, tenants = custom_resources, (namespace, second)
    options = {
        "namespaces": ",".join(tenants),
        "pod_namespace": namespace,
        "trainer_image": "t:1",
        "server_image": "s:1",
    }
    with (
        FaultProxy(plane, folder=tmp_path / "proxy") as proxy,
        RunningOperator(plane, tmp_path, kubeconfig=proxy.kubeconfig, **options) as operator,
        PodStatusPatcher(plane, nodes=NODES),
    ):
        operator.wait_ready()
        for tenant in tenants:
            jobs = f"/apis/tuneloop.dev/v1alpha1/namespaces/{tenant}/finetunejobs"
            reply = plane.request("POST", jobs, JOB)
            assert reply.status == 201, reply.body
            until(lambda path=f"{jobs}/reviews": succeeded(plane, path), seconds=40, what="Succeeded")
    first_end, second_end = (end_state(plane, tenant) for tenant in tenants)
    assert reference([first_end]).differences(second_end) == []
    first_counts, second_counts = (
        {key: number for key, number in tally(proxy.trace).items() if key[2] == tenant and key[1] != "endpointslices"}
        for tenant in tenants
    )
    assert {(verb, kind, name) for verb, kind, _, name in first_counts} == {
        ("create", "configmaps", "reviews-a1"),
        ("create", "configmaps", "reviews-export"),
        ("create", "configmaps", "reviews-prepare"),
        ("create", "jobs", "reviews-a1"),
        ("create", "jobs", "reviews-export"),
        ("create", "jobs", "reviews-prepare"),
        ("create", "networkpolicies", "reviews-train"),
        ("create", "services", "reviews-train"),
    }
    assert sorted(first_counts.values()) == sorted(second_counts.values()) == [1] * 8


def succeeded(plane, path):
    return plane.request("GET", path).body.get("status", {}).get("phase") == "Succeeded"
