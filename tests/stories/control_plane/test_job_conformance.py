"""The real kube-controller-manager passes the table of cases that local mode's Job controller passes; the test plays the kubelet."""

from __future__ import annotations

import asyncio

import pytest
from job_conformance import CASES
from job_under_test import INDEX, NAME, job_manifest

NODE = "conformance"


class ClusterBench:
    """The bench on a namespace of a real API server."""

    def __init__(self, control_plane, namespace: str) -> None:
        self._control_plane = control_plane
        self._namespace = namespace
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    async def create(self, spec) -> None:
        container = {"name": "main", "image": "none", "command": ["none"]}
        self._ask("POST", self._jobs, job_manifest(spec, namespace=self._namespace, container=container))

    async def job(self):
        reply = self._control_plane.request("GET", f"{self._jobs}/{NAME}")
        return None if reply.status == 404 else reply.body

    async def pods(self):
        pods = self._ask("GET", self._pods)["items"]
        return sorted(
            pods,
            key=lambda pod: int(
                pod["metadata"]["annotations"].get(INDEX, 0) if "annotations" in pod["metadata"] else 0
            ),
        )

    async def run(self, pod) -> None:
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        self._ask("POST", f"{self._pods}/{name}/binding", {"metadata": {"name": name}, "target": target})
        self._show(pod, phase="Running", ready="True")

    async def end(self, pod, code: int) -> None:
        self._show(
            pod, phase="Failed" if code else "Succeeded", ready="False", state={"terminated": {"exitCode": code}}
        )

    async def let_go(self, pod) -> None:
        self._show(pod, phase="Failed", ready="False", state={"terminated": {"exitCode": 143}})
        self._ask("DELETE", f"{self._pods}/{pod['metadata']['name']}", {"gracePeriodSeconds": 0})

    async def suspend(self, *, suspend: bool) -> None:
        self._ask("PATCH", f"{self._jobs}/{NAME}", {"spec": {"suspend": suspend}})

    async def delete_job(self) -> None:
        self._ask("DELETE", f"{self._jobs}/{NAME}", {"propagationPolicy": "Background"})

    async def delete_pod(self, pod) -> None:
        self._ask("DELETE", f"{self._pods}/{pod['metadata']['name']}", {})

    def _show(self, pod, *, phase: str, ready: str, state=None) -> None:
        container = {"name": "main", "image": "none", "imageID": "", "ready": ready == "True", "restartCount": 0}
        container["state"] = state or {"running": {}}
        status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [container]}
        self._ask("PATCH", f"{self._pods}/{pod['metadata']['name']}/status", {"status": status})

    def _ask(self, method: str, path: str, body=None):
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        reply = self._control_plane.request(method, path, body, content_type=content)
        assert reply.status in {200, 201, 202}, (method, path, reply)
        return reply.body


@pytest.fixture(scope="module", autouse=True)
def node(control_plane):
    """A node that pods can be bound to; nothing runs on it."""
    manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    assert control_plane.request("POST", "/api/v1/nodes", manifest).status == 201
    yield
    control_plane.request("DELETE", f"/api/v1/nodes/{NODE}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_kubernetes(case, control_plane, namespace) -> None:
    asyncio.run(case(ClusterBench(control_plane, namespace)))
