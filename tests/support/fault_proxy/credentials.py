"""Who the proxy's client is: a service account with a token, in a kubeconfig that points at the proxy."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.api_client import ApiClient

_NAMESPACE = "kube-system"
_NAME = "fault-proxy-client"
_TOKEN_SECONDS = 86_400


def administrator_token(client: ApiClient) -> str:
    """Return a token of a service account that may do everything; the account is made if it is missing."""
    metadata = {"name": _NAME, "namespace": _NAMESPACE}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": _NAMESPACE}],
    }
    _create(client, f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts", account)
    _create(client, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    return token_of(client, namespace=_NAMESPACE, name=_NAME)


def token_of(client: ApiClient, *, namespace: str, name: str) -> str:
    """Return a token of a service account that exists, good for a day."""
    reply = client.request(
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        },
    )
    assert reply.status == 201, reply.body
    return str(reply.body["status"]["token"])


def write_kubeconfig(path: Path, *, server_url: str, authority: Path, token: str) -> None:
    """Write a kubeconfig that this user alone may read."""
    cluster = {
        "server": server_url,
        "certificate-authority-data": base64.b64encode(authority.read_bytes()).decode(),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": cluster}],
        "users": [{"name": "client", "user": {"token": token}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "client"}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))


def _create(client: ApiClient, path: str, manifest: dict[str, object]) -> None:
    reply = client.request("POST", path, manifest)
    assert reply.status in {201, 409}, reply.body
