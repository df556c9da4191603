"""What ApiServer reads from the real API server."""

from __future__ import annotations

import asyncio
from typing import Any

from api_server_stories import Manifest, config_map, run_story, until
from cluster.control_plane import ControlPlane

from tuneloop_operator.cluster.api_server import ApiServer, Call


def test_what_was_created_is_read_and_listed_with_its_kind(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> tuple[Any, ...]:
        created = await server.create(config_map(namespace))
        read = await server.get(kind="ConfigMap", namespace=namespace, name="one")
        listed = await server.list(kind="ConfigMap", namespace=namespace, labels={"tuneloop.dev/job": "reviews"})
        return created, read, listed

    created, read, listed = run_story(control_plane, story)
    assert created["metadata"]["uid"]
    assert read == created
    assert listed == [created]


def test_what_is_not_there_is_none(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> Any:
        return await server.get(kind="ConfigMap", namespace=namespace, name="gone")

    assert run_story(control_plane, story) is None


def test_a_list_of_many_pages_is_whole(control_plane: ControlPlane, namespace: str) -> None:
    calls: list[Call] = []

    async def story(server: ApiServer) -> list[Manifest]:
        gate = asyncio.Semaphore(20)

        async def create(number: int) -> None:
            async with gate:
                await server.create(config_map(namespace, f"map-{number:04}"))

        await asyncio.gather(*(create(number) for number in range(1050)))
        calls.clear()
        return await server.list(kind="ConfigMap", namespace=namespace, labels={"tuneloop.dev/job": "reviews"})

    listed = run_story(control_plane, story, on_call=calls.append)
    assert {manifest["metadata"]["name"] for manifest in listed} == {f"map-{number:04}" for number in range(1050)}
    assert len(listed) == 1050
    assert [(call.verb, call.resource, call.code) for call in calls] == [("list", "configmaps", 200)] * 3


def refused_job(namespace: str) -> Manifest:
    """Return a Job whose pods Pod Security forbids."""
    container = {"name": "c", "image": "i", "securityContext": {"privileged": True}}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "refused", "namespace": namespace},
        "spec": {"template": {"spec": pod}},
    }


def test_why_the_pods_of_a_job_are_refused_is_read_in_the_servers_words(
    control_plane: ControlPlane, namespace: str
) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    merge = "application/merge-patch+json"
    control_plane.request("PATCH", f"/api/v1/namespaces/{namespace}", label, content_type=merge)

    async def story(server: ApiServer) -> tuple[str, str]:
        uid = (await server.create(refused_job(namespace)))["metadata"]["uid"]

        async def is_reported() -> bool:
            return bool(await server.refusal(namespace=namespace, job_uid=uid))

        await until(is_reported)
        of_another = await server.refusal(namespace=namespace, job_uid="another")
        return await server.refusal(namespace=namespace, job_uid=uid), of_another

    refusal, of_another_job = run_story(control_plane, story)
    assert refusal.startswith('pods "refused-')
    assert 'violates PodSecurity "restricted' in refusal
    assert of_another_job == ""


def test_why_a_volume_cannot_be_mounted_is_read_in_the_kubelets_words(
    control_plane: ControlPlane, namespace: str
) -> None:
    """The kubelet writes Events of the older API, with the pod as their object."""
    missing = 'MountVolume.SetUp failed for volume "trackers" : secret "trackers" not found'
    for number, (reason, message) in enumerate((("Scheduled", "assigned"), ("FailedMount", missing))):
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"pod.{number}", "namespace": namespace},
            "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "pod", "uid": "u-1"},
            "reason": reason,
            "message": message,
            "type": "Warning",
            "lastTimestamp": f"2026-01-01T12:0{number}:00Z",
        }
        assert control_plane.request("POST", f"/api/v1/namespaces/{namespace}/events", event).status == 201

    async def story(server: ApiServer) -> tuple[str, str]:
        of_another = await server.mount_failure(namespace=namespace, pod_uid="u-2")
        return await server.mount_failure(namespace=namespace, pod_uid="u-1"), of_another

    assert run_story(control_plane, story) == (missing, "")
