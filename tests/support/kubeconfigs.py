"""From a kubeconfig, as the development control plane and the fault proxy write them (JSON), to a connection."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.access import RunningCluster


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the API server is, and who asks."""

    server_url: str
    tls: ssl.SSLContext
    headers: dict[str, str]


def connection_of(kubeconfig: Path) -> Connection:
    """Return the connection of a kubeconfig with one user, who has a token or a client certificate."""
    document = json.loads(kubeconfig.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile() as file:  # of mode 0600; ssl reads files alone
            file.write(base64.b64decode(user["client-certificate-data"]))
            file.write(base64.b64decode(user["client-key-data"]))
            file.flush()
            tls.load_cert_chain(file.name)
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return Connection(server_url=cluster["server"], tls=tls, headers=headers)


def account_kubeconfig(plane: RunningCluster, path: Path, *, namespace: str, account: str) -> Path:
    """Write the kubeconfig of a service account, with a token of its own, and return its path."""
    token = plane.kubectl("create", "token", account, "-n", namespace, "--duration=1h")
    assert token.returncode == 0, token.stderr
    document = json.loads(plane.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": token.stdout.strip()}
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


def client_of(kubeconfig: Path) -> httpx.Client:
    """Return an HTTP client of the API server; its paths are relative to the server."""
    found = connection_of(kubeconfig)
    return httpx.Client(base_url=found.server_url, verify=found.tls, headers=found.headers, timeout=30)
