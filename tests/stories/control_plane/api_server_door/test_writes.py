"""What ApiServer writes at the real API server: create, apply, replace, delete, Events; and that it writes only where it leads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from api_server_stories import Manifest, config_map, fine_tune_job, run_story, service, until
from cluster.control_plane import ControlPlane

from tuneloop_operator.cluster.api_server import ApiServer, Call
from tuneloop_operator.cluster.events import event_manifest
from tuneloop_operator.controller.controllers import TRIMS
from tuneloop_operator.controller.store import trimmed
from tuneloop_operator.errors import AlreadyExists, Conflict, NotLeading


def test_the_second_create_finds_the_first(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        await server.create(config_map(namespace))
        with pytest.raises(AlreadyExists, match='configmaps "one" already exists'):
            await server.create(config_map(namespace))

    run_story(control_plane, story)


def test_apply_creates_then_changes_then_takes_back_and_leaves_what_others_own(
    control_plane: ControlPlane, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/services/web"

    async def story(server: ApiServer) -> Manifest:
        await server.apply(service(namespace))
        control_plane.request(
            "PATCH",
            path,
            {"metadata": {"annotations": {"theirs": "kept"}}, "spec": {"selector": {"app": "taken"}}},
            content_type="application/merge-patch+json",
        )
        return await server.apply(service(namespace))

    applied = run_story(control_plane, story)
    assert applied["spec"]["selector"] == {"app": "web"}
    assert applied["metadata"]["annotations"] == {"theirs": "kept"}


def test_a_field_that_is_applied_no_more_goes(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> Manifest:
        await server.apply(service(namespace, publishNotReadyAddresses=True))
        return await server.apply(service(namespace))

    assert "publishNotReadyAddresses" not in run_story(control_plane, story)["spec"]


def test_scaling_changes_the_number_of_pods_alone_and_a_later_apply_sets_it_again(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def story(server: ApiServer) -> tuple[Manifest, ...]:
        applied = await server.apply(deployment(namespace))
        place = {"namespace": namespace, "name": "web", "uid": applied["metadata"]["uid"]}
        scaled = await server.scale(**place, replicas=0)
        assert scaled is not None
        return applied, scaled, await server.apply(deployment(namespace))

    applied, scaled, again = run_story(control_plane, story)
    assert [found["spec"]["replicas"] for found in (applied, scaled, again)] == [2, 0, 2]
    assert scaled["spec"] == applied["spec"] | {"replicas": 0}
    assert again["spec"] == applied["spec"]


@pytest.mark.parametrize("name", ["web", "gone"])
def test_another_deployment_of_the_name_is_not_scaled(control_plane: ControlPlane, namespace: str, name: str) -> None:
    async def story(server: ApiServer) -> Manifest | None:
        await server.apply(deployment(namespace))
        assert await server.scale(namespace=namespace, name=name, uid="another", replicas=0) is None
        return await server.get(kind="Deployment", namespace=namespace, name="web")

    found = run_story(control_plane, story)
    assert found is not None
    assert found["spec"]["replicas"] == 2


def test_our_fields_are_owned_by_our_name(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> Manifest:
        return await server.apply(service(namespace))

    owners = [
        (entry["manager"], entry["operation"]) for entry in run_story(control_plane, story)["metadata"]["managedFields"]
    ]
    assert owners == [("tuneloop", "Apply")]


def test_replacing_needs_the_version_that_is_stored(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(config_map(namespace))
        newer = await server.replace(created | {"data": {"a": "2"}})
        assert newer["data"] == {"a": "2"}
        with pytest.raises(Conflict):
            await server.replace(created | {"data": {"a": "3"}})
        await server.delete(kind="ConfigMap", namespace=namespace, name="one", uid=created["metadata"]["uid"])
        with pytest.raises(Conflict):
            await server.replace(newer)

    run_story(control_plane, story)


@pytest.mark.parametrize("uid_of", ["itself", "another"])
def test_only_the_object_of_that_uid_is_deleted(control_plane: ControlPlane, namespace: str, uid_of: str) -> None:
    async def story(server: ApiServer) -> Any:
        created = await server.create(config_map(namespace))
        uid = created["metadata"]["uid"] if uid_of == "itself" else "00000000-0000-4000-8000-000000000000"
        await server.delete(kind="ConfigMap", namespace=namespace, name="one", uid=uid)
        return await server.get(kind="ConfigMap", namespace=namespace, name="one")

    assert (run_story(control_plane, story) is None) == (uid_of == "itself")


def test_deleting_what_is_gone_is_fine(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        await server.delete(kind="ConfigMap", namespace=namespace, name="gone", uid="any")

    run_story(control_plane, story)


def test_a_deleted_object_takes_its_dependents_along(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        owner = await server.create(config_map(namespace, "owner"))
        child = config_map(namespace, "child")
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        child["metadata"]["ownerReferences"] = [reference]
        await server.create(child)
        await server.delete(kind="ConfigMap", namespace=namespace, name="owner", uid=owner["metadata"]["uid"])
        await until(lambda: is_gone(server, namespace, "child"))

    run_story(control_plane, story)


def event_about(job: dict[str, Any], *, reason: str, message: str, **fields: Any) -> dict[str, Any]:
    given = {"kind": "Warning", "instance": "tuneloop-operator-0", "now": datetime.now(UTC)} | fields
    return event_manifest(trimmed(job, trims=TRIMS), reason=reason, message=message, **given)


def test_an_event_is_shown_with_the_object(custom_resources: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        job = await server.create(fine_tune_job(namespace))
        for _ in range(2):
            await server.create(event_about(job, reason="Restarted", message="lost a node " * 200))

    run_story(custom_resources, story)
    shown = custom_resources.kubectl("describe", "finetunejob", "reviews", "-n", namespace).stdout
    assert shown.count("Restarted") == 2
    assert "lost a node" in shown


def test_an_event_that_two_operators_report_is_one(custom_resources: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        job = await server.create(fine_tune_job(namespace))
        event = event_about(job, reason="Promoted", message="7d1f gets all requests", is_named=True)
        await server.create(event)
        with pytest.raises(AlreadyExists):
            await server.create(event | {"reportingInstance": "tuneloop-operator-1"})

    run_story(custom_resources, story)
    shown = custom_resources.kubectl("describe", "finetunejob", "reviews", "-n", namespace).stdout
    assert shown.count("7d1f gets all requests") == 1


def test_who_does_not_lead_writes_nothing_but_leases(control_plane: ControlPlane, namespace: str) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "operator", "namespace": namespace},
        "spec": {"holderIdentity": "me"},
    }
    calls: list[Call] = []

    async def story(server: ApiServer) -> None:
        owner = config_map(namespace) | {"metadata": config_map(namespace)["metadata"] | {"resourceVersion": "1"}}
        for attempt in (
            server.create(config_map(namespace)),
            server.apply(config_map(namespace)),
            server.delete(kind="ConfigMap", namespace=namespace, name="one", uid="any"),
            server.patch_status(owner, {}),
            server.replace(owner),
            server.scale(namespace=namespace, name="web", uid="any", replicas=0),
        ):
            with pytest.raises(NotLeading):
                await attempt
        assert calls == []
        await server.replace(await server.create(lease))
        assert await server.get(kind="ConfigMap", namespace=namespace, name="one") is None

    run_story(control_plane, story, may_write=lambda: False, on_call=calls.append)
    assert [(call.verb, call.code) for call in calls] == [("create", 201), ("update", 200), ("get", 404)]


def deployment(namespace: str) -> Manifest:
    labels = {"app": "web"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod},
    }


async def is_gone(server: ApiServer, namespace: str, name: str) -> bool:
    return await server.get(kind="ConfigMap", namespace=namespace, name=name) is None
