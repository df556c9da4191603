"""A service mesh in one namespace: a mutating admission policy that puts a container which never ends into every pod."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.node import NodeCluster

NAME = "mesh-proxy"
_API = "/apis/admissionregistration.k8s.io/v1"
_PROXY = """
  name: "mesh-proxy", image: "dev.local/probe:1", imagePullPolicy: "Never", args: ["serve", "127.0.0.1:15001", "proxy"],
  securityContext: Object.spec.{field}.securityContext{{
    allowPrivilegeEscalation: false,
    capabilities: Object.spec.{field}.securityContext.capabilities{{drop: ["ALL"]}}
  }}"""
_BESIDE = f"""[
  JSONPatch{{op: "add", path: "/spec/containers/-", value: Object.spec.containers{{{_PROXY.format(field="containers")}}}}}
]"""
# two patches: a list of objects as value makes the API server of Kubernetes 1.36 drop the connection
_NATIVE = f"""[
  JSONPatch{{op: "add", path: "/spec/initContainers", value: []}},
  JSONPatch{{
    op: "add", path: "/spec/initContainers/-",
    value: Object.spec.initContainers{{restartPolicy: "Always", {_PROXY.format(field="initContainers")}}}
  }}
]"""


@contextmanager
def injected(cluster: NodeCluster, namespace: str, *, native: bool) -> Iterator[None]:
    """Put a proxy into every pod that is created in a namespace from now on.

    native: as an init container that is always restarted, which the kubelet ends after all others; else as a container beside those of the pod.
    """
    name = f"mesh-in-{namespace}"
    for plural, body in _policy(name, namespace, patch=_NATIVE if native else _BESIDE).items():
        reply = cluster.request("POST", f"{_API}/{plural}", body)
        assert reply.status == 201, reply.body
    try:
        until(lambda: NAME in _containers_of_a_new_pod(cluster, namespace), seconds=30, what="a policy that is obeyed")
        yield
    finally:
        for plural in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
            cluster.request("DELETE", f"{_API}/{plural}/{name}")


def _policy(name: str, namespace: str, *, patch: str) -> dict[str, dict[str, Any]]:
    """Return the policy and its binding by the plural of their kinds."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    chosen = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"namespaceSelector": chosen, "resourceRules": [rule]},
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
    }
    return {
        "mutatingadmissionpolicies": {"metadata": {"name": name}, "spec": spec},
        "mutatingadmissionpolicybindings": {"metadata": {"name": name}, "spec": {"policyName": name}},
    }


def _containers_of_a_new_pod(cluster: NodeCluster, namespace: str) -> list[str]:
    """Return the names of the containers, those of init containers among them, of a pod that is not stored."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "metadata": {"name": "dry-run"},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "main", "image": "dev.local/probe:1", "securityContext": security}],
        },
    }
    reply = cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod, query={"dryRun": "All"})
    assert reply.status == 201, reply.body
    spec = reply.body["spec"]
    return [container["name"] for container in (*spec["containers"], *spec.get("initContainers", ()))]
