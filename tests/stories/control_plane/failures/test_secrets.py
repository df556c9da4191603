"""Secrets that are changed or removed at every phase of a job: the missing one is named, its value stands nowhere, and the operator reads none."""

from __future__ import annotations

import json
import threading

import pytest
from fault_proxy import FaultProxy
from namespace_client import SPEC, NamespaceClient
from operator_process import RunningOperator
from pod_scripts import Bind, PodLifecycle, Until, Waiting, before_the_end, by_attempt, fail, succeed
from pod_status_patcher import PodStatusPatcher
from waiting import until

from tuneloop_api.wire.failure_class import FailureClass

CANARY = "canary-5b1f"
"""Stands in every value of every Secret."""
SECRETS = ("hub", "trackers", "files", "registry")
SPEC_WITH_SECRETS = {
    "model": SPEC["model"] | {"secretRef": {"name": "hub"}},
    "env": [{"name": "WANDB_API_KEY", "secretKeyRef": {"name": "trackers", "key": "token"}}],
    "volumes": [{"name": "files", "mountPath": "/etc/files", "secret": {"secretName": "files"}}],
    "imagePullSecrets": [{"name": "registry"}],
}
MISSING = {
    "hub": 'secret "hub" not found',
    "trackers": "couldn't find key token in Secret team/trackers",
}
"""What the kubelet says of a variable whose Secret, or whose key, is missing."""
LISTS = ("finetunejobs", "jobs", "pods", "configmaps", "services", "networkpolicies", "events")


def put_secrets(client: NamespaceClient, *, version: int) -> None:
    """Create the Secrets, or give each of them another value."""
    for name in SECRETS:
        path = f"/api/v1/namespaces/{client.namespace}/secrets"
        body = {"metadata": {"name": name}, "stringData": {"token": f"{CANARY}-{name}-{version}"}}
        reply = client.request("POST", path, body)
        if reply.status == 409:
            reply = client.request("PATCH", f"{path}/{name}", body, content_type="application/merge-patch+json")
        assert reply.status in {200, 201}, reply.body


def remove_secrets(client: NamespaceClient) -> None:
    for name in SECRETS:
        assert client.request("DELETE", f"/api/v1/namespaces/{client.namespace}/secrets/{name}").status == 200


def waits_for(secret: str, gate: threading.Event):
    """Return the script of a pod whose container cannot be made until the gate is open."""

    def script(pod, attempt, stage, index):
        lifecycle = succeed(pod, attempt, stage, index)
        waiting = Waiting("CreateContainerConfigError", MISSING[secret])
        return PodLifecycle((Bind(), waiting, Until(gate), *lifecycle.steps[1:]))

    return script


def everything_that_is_stored(client: NamespaceClient) -> str:
    """Return all objects of the namespace but the Secrets."""
    groups = {
        "finetunejobs": "/apis/tuneloop.dev/v1alpha1",
        "jobs": "/apis/batch/v1",
        "networkpolicies": "/apis/networking.k8s.io/v1",
    }
    replies = [
        client.request("GET", f"{groups.get(kind, '/api/v1')}/namespaces/{client.namespace}/{kind}") for kind in LISTS
    ]
    assert {reply.status for reply in replies} == {200}
    return json.dumps([reply.body for reply in replies])


def named(client: NamespaceClient, secret: str) -> str:
    """Return the message of PodsReady once it names a Secret."""
    ready = until(
        lambda: (found := client.condition("reviews", "PodsReady")) and MISSING[secret] in found["message"] and found,
        seconds=90,
        what=f"a condition that names {secret}",
    )
    assert ready["reason"] == "CreateContainerConfigError"
    return ready["message"]


@pytest.fixture
def client(custom_resources, namespace):
    return NamespaceClient(custom_resources, namespace)


def test_a_secret_that_goes_and_comes_is_named_and_no_value_is_read_or_written(custom_resources, client, tmp_path):
    prepared, failed, started = (threading.Event() for _ in range(3))
    scripts = {
        "prepare": waits_for("hub", prepared),
        "train": by_attempt(
            before_the_end(fail(FailureClass.COLLECTIVE), Until(failed)), waits_for("trackers", started)
        ),
    }
    with (
        PodStatusPatcher(custom_resources, scripts=scripts, namespace=client.namespace),
        FaultProxy(custom_resources, folder=tmp_path / "proxy") as proxy,
        RunningOperator(
            None, tmp_path, kubeconfig=proxy.kubeconfig, pod_namespace=client.namespace, namespaces=client.namespace
        ) as operator,
    ):
        operator.wait_ready().wait_leading()
        client.submit(**SPEC_WITH_SECRETS)
        # a job that waits in its first stage
        assert named(client, "hub").endswith(f"{MISSING['hub']}; needed: key token for HF_TOKEN")
        put_secrets(client, version=1)
        prepared.set()
        client.wait_for_phase("reviews", "Running")
        pods, calls = {pod["metadata"]["uid"] for pod in client.all("Pod")}, len(proxy.trace)
        put_secrets(client, version=2)
        remove_secrets(client)
        assert {pod["metadata"]["uid"] for pod in client.all("Pod")} == pods  # a gang that runs goes on
        assert client.phase() == "Running"
        failed.set()
        named(client, "trackers")  # the next attempt cannot start
        assert client.status()["attempt"] == 2
        put_secrets(client, version=3)
        started.set()
        client.wait_for_phase("reviews", "Succeeded")
        assert client.status()["restarts"]["failure"] == 1
        kept = everything_that_is_stored(client) + operator.log + operator.metrics()
        assert CANARY not in kept
        assert len(proxy.trace) > calls
        assert [call for call in proxy.trace if call.resource == "secrets"] == []
        assert not [event for event in proxy.events if event.resource == "secrets"]
