"""From a kubeconfig, as the development control plane and the fault proxy write them (JSON), to a connection."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx


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


def client_of(kubeconfig: Path) -> httpx.Client:
    """Return an HTTP client of the API server; its paths are relative to the server."""
    found = connection_of(kubeconfig)
    return httpx.Client(base_url=found.server_url, verify=found.tls, headers=found.headers, timeout=30)
