"""Address and credentials of the API server: in a pod from the files of the service account, elsewhere from a kubeconfig."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from tuneloop_operator.errors import NoConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN = "BearerToken"  # noqa: S105  (the client's name for the entry, no token)
_INCOMPLETE = (TypeError, AttributeError, LookupError)
"""What the client raises for a file that is no kubeconfig, and for an entry that lacks its name."""
_UNREADABLE = (ConfigException, OSError, ValueError, RuntimeError, yaml.YAMLError, aiohttp.ClientError, *_INCOMPLETE)
"""RuntimeError: the user has no home. ClientError: the provider of the user's token does not answer."""
_QUOTED_ENTRY = re.compile(r"\{.*\}", re.DOTALL)
"""A whole user or cluster, as the client's messages name the place of a missing key."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """What another client needs to reach the same API server as the same user. A token is valid for minutes only: read it again."""

    server: str
    ca_path: str | None = None
    """None: the authorities of the machine."""
    insecure: bool = False
    """Whether the kubeconfig turns the check of the server's certificate off."""
    token: str | None = field(default=None, repr=False)
    """Without the word `Bearer`."""
    certificate_path: str | None = None
    private_key_path: str | None = None
    proxy_url: str | None = None


async def read_connection(
    environ: Mapping[str, str] = os.environ, *, service_account: Path = SERVICE_ACCOUNT
) -> Connection:
    """Return the connection as it is configured now. Raises NoConfiguration."""
    return connection_of(await read_configuration(environ, service_account=service_account))


def connection_of(configuration: Any) -> Connection:
    """Return the connection of a client's configuration."""
    scheme, _, token = (configuration.api_key.get(_TOKEN) or "").partition(" ")
    return Connection(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        token=token if scheme.lower() == "bearer" else None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
    )


async def read_configuration(
    environ: Mapping[str, str] = os.environ, *, service_account: Path = SERVICE_ACCOUNT
) -> Any:
    """Return the client's configuration. In a pod it re-reads the token for each request. Raises NoConfiguration."""
    configuration = Configuration()
    try:
        if environ.get("KUBERNETES_SERVICE_HOST"):
            _configure_in_pod(configuration, environ, service_account)
        else:
            paths = _kubeconfig(environ)
            await load_kube_config(config_file=paths, client_configuration=configuration, persist_config=False)
    except _UNREADABLE as error:
        # a traceback would show the client's own message, which quotes a user with the token and the key
        raise NoConfiguration(_what_is_wrong(environ, error)) from None
    return configuration


async def authorization(configuration: Any) -> dict[str, str]:
    """Return the Authorization header; empty with a client certificate."""
    settings = await configuration.auth_settings()
    return {"Authorization": settings[_TOKEN]["value"]} if _TOKEN in settings else {}


async def renew_token(configuration: Any, environ: Mapping[str, str] = os.environ) -> None:
    """Use the token that is configured now, for example after the API server rejected the old one."""
    try:
        fresh = await read_configuration(environ)
    except NoConfiguration:
        return  # the file may be half written; the next 401 reads it again
    configuration.api_key.update(fresh.api_key)


def _kubeconfig(environ: Mapping[str, str]) -> str:
    """Return the path of the kubeconfig, or several paths as KUBECONFIG lists them. Raises ConfigException if no file is there."""
    paths = environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(path and Path(path).expanduser().exists() for path in paths.split(os.pathsep)):
        raise ConfigException("there is no such file")
    return paths


def _configure_in_pod(configuration: Any, environ: Mapping[str, str], service_account: Path) -> None:
    token = service_account / "token"
    InClusterConfigLoader(
        token_filename=str(token),
        cert_filename=str(service_account / "ca.crt"),
        try_refresh_token=False,
        environ=environ,
    ).load_and_set(configuration)
    _reread(configuration, token)
    configuration.refresh_api_key_hook = lambda current: _reread(current, token)


def _reread(configuration: Any, token: Path) -> None:
    """Read the file of the token. The file is small, and the kubelet replaces it long before the old token expires."""
    try:
        text = token.read_text().strip()
    except OSError:
        return  # the old token may still be valid; if not, the answer is 401
    if text:
        configuration.api_key[_TOKEN] = f"Bearer {text}"


def _what_is_wrong(environ: Mapping[str, str], error: Exception) -> str:
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return f"the pod's service account cannot be used: {error}"
    path = environ.get("KUBECONFIG")
    where = f"KUBECONFIG={path}" if path else "~/.kube/config (KUBECONFIG is not set, and this is no pod)"
    if isinstance(error, _INCOMPLETE):
        return f"no API server is configured in {where}: this is no complete kubeconfig (`kubectl config view` shows what it holds)"
    return f"no API server is configured in {where}: {_QUOTED_ENTRY.sub('{…}', str(error))}"
