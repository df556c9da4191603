"""The NetworkPolicies of a namespace, enforced in its pods as they run on the node, whose own network enforces none: `enforced`, `reaches`.

with enforced(tenant):
    assert not reaches(stranger, server, 8080)

It does once what a network plug-in does again and again: pods and policies are those that the API server has when the block begins.
"""

from __future__ import annotations

import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cluster.network import BRIDGE_ADDRESS
from pod_networks import inside_network, network_of, processes_of
from policy_network import Pod, rules_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster_release import Object, Tenant

_SECONDS = 10.0
"""For a connection. One that a policy forbids is refused at once."""


@contextmanager
def enforced(tenant: Tenant, selector: str = "") -> Iterator[None]:
    """Enforce all policies of the namespace in its pods with these labels, until the block ends. A kubelet reaches the pods of its node all the same."""
    release = tenant.release
    others = [pod for pod in release.list("pods", namespace=release.namespace) if _runs(pod)]
    pods = [_pod(pod) for pod in (*others, *filter(_runs, tenant.list("pods")))]
    policies = tenant.list("networkpolicies")
    chosen = [pod for pod in tenant.pods(selector) if _runs(pod)]
    try:
        for pod in chosen:
            rules = rules_of(_pod(pod), pods, [_with_numbers(policy, pod) for policy in policies])
            _nft(pod, f"{rules}\ninsert rule inet policies input ip saddr {BRIDGE_ADDRESS} accept")
        yield
    finally:
        for pod in filter(processes_of, chosen):
            _nft(pod, "add table inet policies\ndelete table inet policies")


def reaches(source: Object, target: Object, port: int) -> bool:
    """Whether a TCP connection from a pod to a port of another pod comes about."""
    with inside_network(network_of(source)):
        try:
            socket.create_connection((target["status"]["podIP"], port), timeout=_SECONDS).close()
        except ConnectionRefusedError:
            return False
    return True


def _runs(pod: Object) -> bool:
    return pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]


def _pod(pod: Object) -> Pod:
    metadata: dict[str, Any] = pod["metadata"]
    return Pod(metadata["name"], pod["status"]["podIP"], metadata["namespace"], metadata["labels"])


def _with_numbers(policy: Object, pod: Object) -> Object:
    """Return a policy whose `ingress` has the numbers that the ports' names stand for in a pod; ports that the pod does not name are left out."""
    named = [port for container in pod["spec"]["containers"] for port in container.get("ports", ()) if "name" in port]
    numbers = {port["name"]: port["containerPort"] for port in named}

    def numbered(rule: Object) -> Object:
        ports = [port | {"port": numbers.get(port["port"], port["port"])} for port in rule.get("ports", ())]
        return rule | ({"ports": [port for port in ports if isinstance(port["port"], int)]} if ports else {})

    ingress = [rule for rule in map(numbered, policy["spec"].get("ingress", ())) if rule.get("ports") != []]
    return policy | {"spec": policy["spec"] | {"ingress": ingress}}


def _nft(pod: Object, rules: str) -> None:
    with inside_network(network_of(pod)):
        done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
