"""ApiServer against the real API server: what each method does there, and which error each refusal becomes."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from cluster import certificates
from cluster.control_plane import ControlPlane

from tuneloop_operator.cluster.api_server import ApiServer, Call
from tuneloop_operator.cluster.connection import read_configuration
from tuneloop_operator.cluster.transport import Transport
from tuneloop_operator.errors import (
    AlreadyExists,
    ClusterUnavailable,
    Conflict,
    NotLeading,
    Refused,
)
from tuneloop_operator.store import trimmed

Manifest = dict[str, Any]
Story = Callable[[ApiServer], Awaitable[Any]]
STATUS = {"phase": "Running", "attempt": 1}


@asynccontextmanager
async def connected(kubeconfig: Path, **options: Any) -> AsyncIterator[ApiServer]:
    server = await ApiServer.connect(environ={"KUBECONFIG": str(kubeconfig)}, **options)
    try:
        yield server
    finally:
        await server.close()


def tell(plane: ControlPlane, story: Story, **options: Any) -> Any:
    """Run a story as the administrator; return what it returns."""

    async def run() -> Any:
        async with connected(plane.kubeconfig, **options) as server:
            return await story(server)

    return asyncio.run(run())


def config_map(namespace: str, name: str = "one", **data: str) -> Manifest:
    labels = {"tuneloop.dev/job": "reviews"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": data or {"a": "1"},
    }


def service(namespace: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]} | spec,
    }


def fine_tune_job(namespace: str) -> Manifest:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "reviews", "namespace": namespace},
        "spec": {
            "model": {"uri": "hf://FacebookAI/roberta-base"},
            "task": "text-classification",
            "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
            "storage": {"claim": "models"},
        },
    }


def test_what_was_created_is_read_and_listed_with_its_kind(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> tuple[Any, ...]:
        created = await server.create(config_map(namespace))
        read = await server.get(kind="ConfigMap", namespace=namespace, name="one")
        listed = await server.list(kind="ConfigMap", namespace=namespace, labels={"tuneloop.dev/job": "reviews"})
        return created, read, listed

    created, read, listed = tell(control_plane, story)
    assert created["metadata"]["uid"]
    assert read == created
    assert listed == [created]


def test_what_is_not_there_is_none(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> Any:
        return await server.get(kind="ConfigMap", namespace=namespace, name="gone")

    assert tell(control_plane, story) is None


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

    listed = tell(control_plane, story, on_call=calls.append)
    assert {one["metadata"]["name"] for one in listed} == {f"map-{number:04}" for number in range(1050)}
    assert len(listed) == 1050
    assert [(call.verb, call.resource, call.code) for call in calls] == [("list", "configmaps", 200)] * 3


def test_the_second_create_finds_the_first(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        await server.create(config_map(namespace))
        with pytest.raises(AlreadyExists, match='configmaps "one" already exists'):
            await server.create(config_map(namespace))

    tell(control_plane, story)


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

    applied = tell(control_plane, story)
    assert applied["spec"]["selector"] == {"app": "web"}
    assert applied["metadata"]["annotations"] == {"theirs": "kept"}


def test_a_field_that_is_applied_no_more_goes(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> Manifest:
        await server.apply(service(namespace, publishNotReadyAddresses=True))
        return await server.apply(service(namespace))

    assert "publishNotReadyAddresses" not in tell(control_plane, story)["spec"]


def test_our_fields_are_owned_by_our_name(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> Manifest:
        return await server.apply(service(namespace))

    owners = [(one["manager"], one["operation"]) for one in tell(control_plane, story)["metadata"]["managedFields"]]
    assert owners == [("tuneloop", "Apply")]


@pytest.mark.parametrize("uid_of", ["itself", "another"])
def test_only_the_object_of_that_uid_is_deleted(control_plane: ControlPlane, namespace: str, uid_of: str) -> None:
    async def story(server: ApiServer) -> Any:
        created = await server.create(config_map(namespace))
        uid = created["metadata"]["uid"] if uid_of == "itself" else "00000000-0000-4000-8000-000000000000"
        await server.delete(kind="ConfigMap", namespace=namespace, name="one", uid=uid)
        return await server.get(kind="ConfigMap", namespace=namespace, name="one")

    assert (tell(control_plane, story) is None) == (uid_of == "itself")


def test_deleting_what_is_gone_is_fine(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        await server.delete(kind="ConfigMap", namespace=namespace, name="gone", uid="any")

    tell(control_plane, story)


def test_a_deleted_job_takes_its_dependents_along(control_plane: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        owner = await server.create(config_map(namespace, "owner"))
        child = config_map(namespace, "child")
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        child["metadata"]["ownerReferences"] = [reference]
        await server.create(child)
        await server.delete(kind="ConfigMap", namespace=namespace, name="owner", uid=owner["metadata"]["uid"])
        await until(lambda: is_gone(server, namespace, "child"))

    tell(control_plane, story)


def test_a_status_is_replaced_and_nothing_else_changes(custom_resources: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> tuple[Manifest, Manifest, Manifest]:
        created = await server.create(fine_tune_job(namespace))
        first = await server.patch_status(trimmed(created), STATUS | {"image": "gone@sha256:1"})
        known = trimmed(first) | {"spec": {}}
        known["metadata"] = {key: value for key, value in known["metadata"].items() if key != "labels"}
        return created, first, await server.patch_status(known, STATUS)

    created, first, second = tell(custom_resources, story)
    assert first["status"] == STATUS | {"image": "gone@sha256:1"}
    assert second["status"] == STATUS
    assert second["spec"] == created["spec"]
    assert second["metadata"]["generation"] == created["metadata"]["generation"]


def test_of_two_writers_of_a_status_the_second_is_told(custom_resources: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(fine_tune_job(namespace))
        await server.patch_status(created, STATUS)
        with pytest.raises(Conflict, match="the object has been modified"):
            await server.patch_status(created, {"phase": "Pending"})
        now = await server.get(kind="FineTuneJob", namespace=namespace, name="reviews")
        assert now is not None
        assert now["status"] == STATUS

    tell(custom_resources, story)


def test_an_edit_of_the_spec_also_makes_an_older_status_conflict(
    custom_resources: ControlPlane, namespace: str
) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(fine_tune_job(namespace))
        custom_resources.request(
            "PATCH",
            f"/apis/tuneloop.dev/v1alpha1/namespaces/{namespace}/finetunejobs/reviews",
            {"spec": {"suspend": True}},
            content_type="application/merge-patch+json",
        )
        with pytest.raises(Conflict):
            await server.patch_status(created, STATUS)

    tell(custom_resources, story)


@pytest.mark.parametrize("created_anew", [True, False])
def test_the_status_of_a_deleted_job_conflicts(
    custom_resources: ControlPlane, namespace: str, created_anew: bool
) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(fine_tune_job(namespace))
        await server.delete(kind="FineTuneJob", namespace=namespace, name="reviews", uid=created["metadata"]["uid"])
        if created_anew:
            await server.create(fine_tune_job(namespace))
        with pytest.raises(Conflict):
            await server.patch_status(created, STATUS)

    tell(custom_resources, story)


def test_a_status_that_does_not_fit_the_schema_is_refused_and_no_conflict(
    custom_resources: ControlPlane, namespace: str
) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(fine_tune_job(namespace))
        with pytest.raises(Refused, match=r"status\.phase"):
            await server.patch_status(created, {"phase": "Dancing"})

    tell(custom_resources, story)


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

    tell(control_plane, story)


def test_what_does_not_fit_the_schema_is_refused_in_the_servers_words(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def story(server: ApiServer) -> None:
        with pytest.raises(Refused, match=r"spec\.ports\[0\]\.port: Invalid value: 99999999"):
            await server.apply(service(namespace, ports=[{"name": "http", "port": 99999999}]))

    tell(control_plane, story)


def test_an_exceeded_quota_is_refused_by_its_name(control_plane: ControlPlane, namespace: str) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/services": "0"}}}
    control_plane.request("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", quota)

    async def attempt(server: ApiServer) -> bool:
        try:
            await server.apply(service(namespace))
        except Refused as error:
            return "exceeded quota: few" in str(error)
        else:
            await server.delete(kind="Service", namespace=namespace, name="web", uid=await uid_of(server, namespace))
            return False

    async def story(server: ApiServer) -> None:
        await until(lambda: attempt(server))  # the quota controller counts first

    tell(control_plane, story)


def test_a_pod_that_pod_security_forbids_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    path = f"/api/v1/namespaces/{namespace}"
    control_plane.request("PATCH", path, label, content_type="application/merge-patch+json")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": True}}]},
    }

    async def story(server: ApiServer) -> None:
        with pytest.raises(Refused, match='violates PodSecurity "restricted'):
            await server.create(pod)

    tell(control_plane, story)


@pytest.mark.parametrize("verb", ["create", "apply"])
def test_a_namespace_that_is_gone_refuses(control_plane: ControlPlane, verb: str) -> None:
    async def story(server: ApiServer) -> None:
        with pytest.raises(Refused, match='namespaces "nowhere" not found'):
            await getattr(server, verb)(config_map("nowhere"))

    tell(control_plane, story)


def test_a_namespace_that_is_being_terminated_refuses(control_plane: ControlPlane) -> None:
    namespace = "ending"
    stays = {"metadata": {"name": "stays", "finalizers": ["tuneloop.dev/test"]}}
    control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    control_plane.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", stays)
    control_plane.request("DELETE", f"/api/v1/namespaces/{namespace}")

    async def story(server: ApiServer) -> None:
        with pytest.raises(Refused, match="it is being terminated"):
            await server.create(config_map(namespace))

    try:
        tell(control_plane, story)
    finally:
        control_plane.request(
            "PATCH",
            f"/api/v1/namespaces/{namespace}/configmaps/stays",
            {"metadata": {"finalizers": None}},
            content_type="application/merge-patch+json",
        )


def test_who_has_no_right_is_refused_and_told_which(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with connected(token_kubeconfig(control_plane, namespace, tmp_path)) as server:
            for attempt in (
                server.get(kind="ConfigMap", namespace=namespace, name="one"),
                server.list(kind="Job", namespace=namespace, labels={}),
                server.create(config_map(namespace)),
                server.apply(service(namespace)),
                server.delete(kind="Pod", namespace=namespace, name="one", uid="any"),
            ):
                with pytest.raises(Refused, match=f'is forbidden: User "system:serviceaccount:{namespace}:default"'):
                    await attempt

    asyncio.run(story())


def test_a_token_that_is_turned_down_means_later_and_its_successor_is_used(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    path = token_kubeconfig(control_plane, namespace, tmp_path)
    good = path.read_text()
    path.write_text(good.replace(json.loads(good)["users"][0]["user"]["token"], "not-a-token"))

    async def story() -> None:
        async with connected(path) as server:
            with pytest.raises(ClusterUnavailable, match="Unauthorized"):
                await server.get(kind="ConfigMap", namespace=namespace, name="one")
            path.write_text(good)
            with pytest.raises(ClusterUnavailable, match="Unauthorized"):
                await server.get(kind="ConfigMap", namespace=namespace, name="one")
            with pytest.raises(Refused):
                await server.get(kind="ConfigMap", namespace=namespace, name="one")

    asyncio.run(story())


def test_in_a_pod_the_service_account_is_used_and_its_token_read_anew(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    address = urlsplit(control_plane.server_url)
    environ = {"KUBERNETES_SERVICE_HOST": str(address.hostname), "KUBERNETES_SERVICE_PORT": str(address.port)}
    (tmp_path / "ca.crt").write_bytes(authority(control_plane))
    (tmp_path / "token").write_text("an-old-one")

    async def story() -> None:
        configuration = await read_configuration(environ, service_account=tmp_path)
        transport = Transport(
            configuration, environ=environ, may_write=lambda: True, on_call=lambda _: None, request_timeout_seconds=10.0
        )
        server = ApiServer(transport, configuration=configuration)
        with pytest.raises(ClusterUnavailable, match="Unauthorized"):
            await server.get(kind="ConfigMap", namespace=namespace, name="one")
        (tmp_path / "token").write_text(token_of(control_plane, namespace))
        with pytest.raises(Refused, match=f"system:serviceaccount:{namespace}:default"):
            await server.get(kind="ConfigMap", namespace=namespace, name="one")
        await server.close()

    asyncio.run(story())


def test_a_server_of_another_authority_is_not_spoken_to(control_plane: ControlPlane, tmp_path: Path) -> None:
    configuration = json.loads(control_plane.kubeconfig.read_text())
    certificates.make(tmp_path / "other", server_url=control_plane.server_url)
    other = base64.b64encode((tmp_path / "other" / "ca.crt").read_bytes()).decode()
    configuration["clusters"][0]["cluster"]["certificate-authority-data"] = other
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(configuration))

    async def story() -> None:
        async with connected(path) as server:
            with pytest.raises(ClusterUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await server.get(kind="ConfigMap", namespace="default", name="one")

    asyncio.run(story())


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
        ):
            with pytest.raises(NotLeading):
                await attempt
        assert calls == []
        await server.replace(await server.create(lease))
        assert await server.get(kind="ConfigMap", namespace=namespace, name="one") is None

    tell(control_plane, story, may_write=lambda: False, on_call=calls.append)
    assert [(call.verb, call.code) for call in calls] == [("create", 201), ("update", 200), ("get", 404)]


def test_an_event_is_shown_with_the_object(custom_resources: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        job = await server.create(fine_tune_job(namespace))
        for _ in range(2):
            await server.post_event(
                trimmed(job),
                kind="Warning",
                reason="Restarted",
                message="lost a node " * 200,
                instance="tuneloop-operator-0",
                now=datetime.now(UTC),
            )

    tell(custom_resources, story)
    shown = custom_resources.kubectl("describe", "finetunejob", "reviews", "-n", namespace).stdout
    assert shown.count("Restarted") == 2
    assert "lost a node" in shown


def test_the_kinds_that_are_missing_are_named(control_plane: ControlPlane) -> None:
    served = control_plane.request("GET", "/apis/tuneloop.dev/v1alpha1").status == 200

    async def story(server: ApiServer) -> list[str]:
        await server.wait_until_ready()
        return await server.missing_kinds()

    assert tell(control_plane, story) == ([] if served else ["FineTuneJob", "ModelDeployment"])


def test_no_kind_is_missing_where_they_are_installed(custom_resources: ControlPlane) -> None:
    async def story(server: ApiServer) -> list[str]:
        return await server.missing_kinds()

    assert tell(custom_resources, story) == []


def test_an_api_server_that_is_away_is_waited_for(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            Door(control_plane.server_url) as door,
            connected(door.kubeconfig(control_plane, tmp_path)) as server,
        ):
            await server.create(config_map(namespace))
            await door.close()
            with pytest.raises(ClusterUnavailable, match="the API server does not answer"):
                await server.get(kind="ConfigMap", namespace=namespace, name="one")
            waiting = asyncio.create_task(server.wait_until_ready())
            await asyncio.wait([waiting], timeout=1.0)
            assert not waiting.done()
            await door.open()
            await asyncio.wait_for(waiting, 20)
            assert await server.get(kind="ConfigMap", namespace=namespace, name="one") is not None

    asyncio.run(story())


def test_a_silent_api_server_is_given_so_much_time_and_a_write_half_of_it(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    async def story() -> list[float]:
        async with Door(control_plane.server_url) as door:
            path = door.kubeconfig(control_plane, tmp_path)
            async with connected(path, request_timeout_seconds=1.0) as server:
                await server.create(config_map(namespace))
                door.is_silent = True
                return [await seconds_until_given_up(server, namespace, verb) for verb in ("get", "create")]

    read, write = asyncio.run(story())
    assert 0.9 < read < 5.0
    assert 0.4 < write < read


async def seconds_until_given_up(server: ApiServer, namespace: str, verb: str) -> float:
    began = time.monotonic()
    read = server.get(kind="ConfigMap", namespace=namespace, name="one")
    write = server.create(config_map(namespace, "two"))
    asked, other = (read, write) if verb == "get" else (write, read)
    other.close()
    with pytest.raises(ClusterUnavailable, match="no answer in time"):
        await asked
    return time.monotonic() - began


@dataclass
class Door:
    """A TCP relay to the API server that can be closed, opened, and fall silent."""

    url: str
    is_silent: bool = False
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kubeconfig(self, plane: ControlPlane, folder: Path) -> Path:
        text = plane.kubeconfig.read_text().replace(plane.server_url, f"https://127.0.0.1:{self.port}")
        (folder / "kubeconfig").write_text(text)
        return folder / "kubeconfig"

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self.url)
        there, back = await asyncio.open_connection(address.hostname, address.port)
        tasks = {asyncio.create_task(self._copy(reader, back)), asyncio.create_task(self._copy(there, writer))}
        self._tasks |= tasks
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in (writer, back):
            one.close()
        self._tasks -= tasks

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.is_silent:
                writer.write(data)


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  (it is the API server that changes)
            await asyncio.sleep(0.05)


async def is_gone(server: ApiServer, namespace: str, name: str) -> bool:
    return await server.get(kind="ConfigMap", namespace=namespace, name=name) is None


async def uid_of(server: ApiServer, namespace: str) -> str:
    found = await server.get(kind="Service", namespace=namespace, name="web")
    assert found is not None
    return str(found["metadata"]["uid"])


def token_of(plane: ControlPlane, namespace: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    reply = plane.request("POST", path, {"spec": {"expirationSeconds": 600}})
    assert reply.status == 201, reply.body
    return str(reply.body["status"]["token"])


def token_kubeconfig(plane: ControlPlane, namespace: str, folder: Path) -> Path:
    """Write a kubeconfig with a token of the namespace's default service account, which may do nothing."""
    configuration = json.loads(plane.kubeconfig.read_text())
    configuration["users"][0]["user"] = {"token": token_of(plane, namespace)}
    path = folder / "token.kubeconfig"
    path.write_text(json.dumps(configuration))
    return path


def authority(plane: ControlPlane) -> bytes:
    configuration = json.loads(plane.kubeconfig.read_text())
    return base64.b64decode(configuration["clusters"][0]["cluster"]["certificate-authority-data"])
