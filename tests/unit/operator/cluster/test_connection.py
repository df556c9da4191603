"""Where the connection is read from, and the message if it cannot be read."""

from __future__ import annotations

import asyncio
import json
import os
import traceback
from pathlib import Path
from typing import Any

import pytest

from tuneloop_operator.cluster.connection import Connection, read_configuration, read_connection
from tuneloop_operator.errors import NoConfiguration

POD = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}


def kubeconfig(folder: Path, **user: str) -> dict[str, str]:
    path = folder / "kubeconfig"
    configuration = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://there:6443", "proxy-url": "http://proxy:3128"}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(configuration))
    return {"KUBECONFIG": str(path)}


def service_account(folder: Path) -> Path:
    (folder / "ca.crt").write_text("an authority")
    (folder / "token").write_text("first\n")
    return folder


def test_a_kubeconfig_with_a_token_and_a_proxy(tmp_path: Path) -> None:
    connection = asyncio.run(read_connection(kubeconfig(tmp_path, token="secret")))
    assert connection == Connection(server="https://there:6443", token="secret", proxy_url="http://proxy:3128")


def test_a_kubeconfig_with_a_certificate(tmp_path: Path) -> None:
    for name in ("crt", "key"):
        (tmp_path / name).write_text(name)
    user = {"client-certificate": str(tmp_path / "crt"), "client-key": str(tmp_path / "key")}
    connection = asyncio.run(read_connection(kubeconfig(tmp_path, **user)))
    assert (connection.certificate_path, connection.private_key_path, connection.token) == (
        str(tmp_path / "crt"),
        str(tmp_path / "key"),
        None,
    )


def test_a_pod_uses_its_service_account_even_where_there_is_a_kubeconfig(tmp_path: Path) -> None:
    environ = kubeconfig(tmp_path, token="secret") | POD
    connection = asyncio.run(read_connection(environ, service_account=service_account(tmp_path)))
    assert connection == Connection(server="https://[fd00::1]:443", ca_path=str(tmp_path / "ca.crt"), token="first")


def test_a_token_is_read_again_and_a_file_that_is_missing_for_a_moment_changes_nothing(tmp_path: Path) -> None:
    async def tokens() -> list[Any]:
        configuration = await read_configuration(POD, service_account=service_account(tmp_path))
        observed = []
        for text in ("second", "", None):
            (tmp_path / "token").unlink()
            if text is not None:
                (tmp_path / "token").write_text(text)
            observed.append((await configuration.auth_settings())["BearerToken"]["value"])
        return observed

    assert asyncio.run(tokens()) == ["Bearer second"] * 3


def test_a_token_is_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(asyncio.run(read_connection(kubeconfig(tmp_path, token="secret"))))


@pytest.mark.parametrize(
    ("content", "environ", "named"),
    [
        pytest.param(None, {}, "KUBECONFIG=.*: there is no such file", id="no file"),
        pytest.param(None, {"KUBECONFIG": ":"}, "KUBECONFIG=:: there is no such file", id="no path"),
        pytest.param("", {}, "KUBECONFIG=", id="empty"),
        pytest.param("{", {}, "KUBECONFIG=", id="no YAML"),
        pytest.param("[]", {}, "KUBECONFIG=", id="no mapping"),
        pytest.param("{current-context: gone, contexts: []}", {}, "KUBECONFIG=", id="no such context"),
        pytest.param(
            "{current-context: c, users: [{name: a, user: {}}, {user: {}}]}", {}, "no complete kubeconfig", id="no name"
        ),
        pytest.param("", POD, "the pod's service account cannot be used", id="a pod without a token"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: str | None, environ: dict[str, str], named: str) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NoConfiguration, match=named):
        asyncio.run(read_connection({"KUBECONFIG": str(path), **environ}, service_account=tmp_path / "nowhere"))


def test_for_a_user_without_a_home_the_error_says_that_no_server_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(NoConfiguration, match=r"~/\.kube/config"):
        asyncio.run(read_connection({}))


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        pytest.param({"name": "u", "token": "s3cret"}, "Expected key user", id="a token outside of `user`"),
        pytest.param(
            {"name": "u", "user": {"auth-provider": {"name": "oidc", "config": {"refresh-token": "s3cret"}}}},
            "Expected key client-id",
            id="a provider without its client",
        ),
    ],
)
def test_an_error_about_a_user_shows_no_secret_of_that_user(tmp_path: Path, entry: dict[str, Any], named: str) -> None:
    environ = kubeconfig(tmp_path)
    path = Path(environ["KUBECONFIG"])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"users": [entry]}))
    with pytest.raises(NoConfiguration, match=named) as raised:
        asyncio.run(read_connection(environ))
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
