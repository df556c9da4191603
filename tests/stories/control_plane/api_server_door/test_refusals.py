"""What the real API server does not accept is `Refused`, in its own words."""

from __future__ import annotations

from itertools import count

import pytest
from api_server_stories import config_map, run_story, service, until
from cluster.control_plane import ControlPlane

from tuneloop_operator.cluster.api_server import ApiServer
from tuneloop_operator.errors import Refused


def test_what_does_not_fit_the_schema_is_refused_in_the_servers_words(
    control_plane: ControlPlane, namespace: str
) -> None:
    async def story(server: ApiServer) -> None:
        with pytest.raises(Refused, match=r"spec\.ports\[0\]\.port: Invalid value: 99999999"):
            await server.apply(service(namespace, ports=[{"name": "http", "port": 99999999}]))

    run_story(control_plane, story)


def test_an_exceeded_quota_is_refused_by_its_name(control_plane: ControlPlane, namespace: str) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/configmaps": "0"}}}
    control_plane.request("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", quota)
    numbers = count()

    async def attempt(server: ApiServer) -> bool:
        try:
            await server.create(config_map(namespace, f"map-{next(numbers)}"))
        except Refused as error:
            return "exceeded quota: few" in str(error)
        return False

    async def story(server: ApiServer) -> None:
        await until(lambda: attempt(server))  # the quota controller counts first

    run_story(control_plane, story)


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

    run_story(control_plane, story)


@pytest.mark.parametrize("verb", ["create", "apply"])
def test_a_namespace_that_is_gone_refuses(control_plane: ControlPlane, verb: str) -> None:
    async def story(server: ApiServer) -> None:
        with pytest.raises(Refused, match='namespaces "nowhere" not found'):
            await getattr(server, verb)(config_map("nowhere"))

    run_story(control_plane, story)


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
        run_story(control_plane, story)
    finally:
        control_plane.request(
            "PATCH",
            f"/api/v1/namespaces/{namespace}/configmaps/stays",
            {"metadata": {"finalizers": None}},
            content_type="application/merge-patch+json",
        )
