"""Who asks, and whom: rights, tokens that change, and the authority of the API server."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from api_server_stories import config_map, connected, service
from cluster import certificates
from cluster.control_plane import ControlPlane
from fault_proxy.credentials import token_of, write_kubeconfig

from tuneloop_operator.cluster.api_server import ApiServer
from tuneloop_operator.cluster.connection import read_configuration
from tuneloop_operator.cluster.transport import Transport
from tuneloop_operator.errors import ClusterUnavailable, Refused


def test_who_has_no_right_is_refused_by_the_name_of_the_right(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    path = token_kubeconfig(control_plane, tmp_path, token=account_token(control_plane, namespace))

    async def story() -> None:
        async with connected(path) as server:
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
    path = token_kubeconfig(control_plane, tmp_path, token="not-a-token")

    async def story() -> None:
        async with connected(path) as server:
            with pytest.raises(ClusterUnavailable, match="Unauthorized"):
                await server.get(kind="ConfigMap", namespace=namespace, name="one")
            token_kubeconfig(control_plane, tmp_path, token=account_token(control_plane, namespace))
            with pytest.raises(ClusterUnavailable, match="Unauthorized"):
                await server.get(kind="ConfigMap", namespace=namespace, name="one")
            with pytest.raises(Refused):
                await server.get(kind="ConfigMap", namespace=namespace, name="one")

    asyncio.run(story())


def test_in_a_pod_the_service_account_is_used_and_its_token_read_again(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    address = urlsplit(control_plane.server_url)
    environ = {"KUBERNETES_SERVICE_HOST": str(address.hostname), "KUBERNETES_SERVICE_PORT": str(address.port)}
    (tmp_path / "ca.crt").write_bytes(authority(control_plane).read_bytes())
    (tmp_path / "token").write_text("an-old-one")

    async def story() -> None:
        configuration = await read_configuration(environ, service_account=tmp_path)
        transport = Transport(
            configuration, environ=environ, may_write=lambda: True, on_call=lambda _: None, request_timeout_seconds=10.0
        )
        server = ApiServer(transport, configuration=configuration)
        with pytest.raises(ClusterUnavailable, match="Unauthorized"):
            await server.get(kind="ConfigMap", namespace=namespace, name="one")
        (tmp_path / "token").write_text(account_token(control_plane, namespace))
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


def token_kubeconfig(plane: ControlPlane, folder: Path, *, token: str) -> Path:
    path = folder / "token.kubeconfig"
    write_kubeconfig(path, server_url=plane.server_url, authority=authority(plane), token=token)
    return path


def account_token(plane: ControlPlane, namespace: str) -> str:
    """Return a token of the namespace's default service account, which may do nothing."""
    return token_of(plane.client(), namespace=namespace, name="default")


def authority(plane: ControlPlane) -> Path:
    return plane.state / "pki" / "ca.crt"
