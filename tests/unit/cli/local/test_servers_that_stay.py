"""On one machine a client knows the address of one server: while servers come and go, the one that it knows stays."""

from __future__ import annotations

import asyncio

import pytest

from tuneloop_cli.local.cluster.cluster import LocalCluster
from tuneloop_cli.local.controllers.controller_manager import ControllerManager
from tuneloop_cli.local.controllers.deployment_controller import deployment_step
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

NOW = "2026-01-31T12:00:00Z"
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "server", "command": ["true"]}]}}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default", "labels": {}},
    "spec": {"selector": {"app": "web"}},
}


def deployment(replicas: int) -> dict:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}
    metadata = {"name": "web", "namespace": "default", "uid": "web", "generation": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def status(*, ready: bool) -> dict:
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}


def pods(**ready: bool) -> list[dict]:
    """Return the pods of the Deployment; `old` was made a minute before `new`, whose name comes first."""
    numbers = iter(("a-new", "b-old"))
    made = deployment_step(deployment(2), [], now=NOW, suffix=lambda: next(numbers)).create
    created = {"web-a-new": "2026-01-31T11:59:00Z", "web-b-old": "2026-01-31T11:58:00Z"}
    for pod in made:
        name = pod["metadata"]["name"]
        pod["metadata"] |= {"uid": name, "creationTimestamp": created[name]}
        pod["status"] = status(ready=ready[name.rpartition("-")[2]])
    return list(made)


@pytest.mark.parametrize(
    ("ready", "goes"),
    [
        ({"old": True, "new": True}, "web-a-new"),
        ({"old": False, "new": False}, "web-a-new"),
        ({"old": False, "new": True}, "web-b-old"),
    ],
)
def test_of_two_servers_the_older_one_stays_unless_only_the_other_is_ready(ready, goes):
    step = deployment_step(deployment(1), pods(**ready), now=NOW, suffix=str)
    assert [pod["metadata"]["name"] for pod in step.delete] == [goes]


def server(name: str, *, ready: bool) -> dict:
    metadata = {"name": name, "namespace": "default", "labels": {"app": "web"}}
    metadata |= {"annotations": {LOCAL_URL: f"http://127.0.0.1/{name}"}}
    spec = TEMPLATE["spec"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status(ready=ready)}


def test_the_address_of_a_service_stays_when_another_server_is_ready_and_moves_when_its_own_is_not(tmp_path):
    cluster = LocalCluster(tmp_path)
    manager = ControllerManager(cluster)

    async def address() -> str:
        """Return the name of the server whose address the Service has once the controller has looked at it."""
        stored = await cluster.apply(SERVICE)
        await manager._reconcile(("Service", "default", "web", stored["metadata"]["uid"]))
        found = cluster.peek(kind="Service", namespace="default", name="web")
        return found["metadata"].get("annotations", {}).get(LOCAL_URL, "").rpartition("/")[2]

    async def ready(name: str, holds: bool) -> None:
        pod = cluster.peek(kind="Pod", namespace="default", name=name)
        cluster.update(pod | {"status": status(ready=holds)})

    async def story() -> list[str]:
        found = [await address()]
        await cluster.create(server("b", ready=True))
        found.append(await address())
        await cluster.create(server("a", ready=True))
        found.append(await address())
        await ready("b", False)
        found.append(await address())
        await ready("a", False)
        found.append(await address())
        return found

    assert asyncio.run(story()) == ["", "b", "b", "a", ""]
