"""The network of the nodes for the pods of a gang: who gets it, and the port on which rank 0 listens.

Pods on the network of their node share its ports. So a gang that asks for it has a port of its own, and its pods claim the port of their node: the scheduler never
puts two pods that claim the same port on one node. The pods of one gang are on different nodes, and two gangs share a node only if their ports differ.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_operator.settings.operator import OperatorSettings

RENDEZVOUS_PORT = 29500
"""Port of gangs whose pods have addresses of their own."""
_FIRST_PORT, _PORTS = 20000, 10000
"""Ports on nodes: below those of NodePort Services (from 30000) and those that Linux gives to outgoing connections (from 32768)."""


def rendezvous_port(job: FineTuneJob) -> int:
    """Return the port on which rank 0 listens. On the network of a node it depends on the uid of the job alone, so that all attempts have the same."""
    if not _is_asked_for(job):
        return RENDEZVOUS_PORT
    digest = hashlib.sha256(job.metadata["uid"].encode()).digest()
    return _FIRST_PORT + int.from_bytes(digest[:8], "big") % _PORTS


def on_host_network(job: FineTuneJob, settings: OperatorSettings) -> bool:
    """Tell whether training pods that start now use the network of their nodes: the job asks for it, and the administrator allows it."""
    return _is_asked_for(job) and settings.allow_host_network


def host_network_fields(job: FineTuneJob, settings: OperatorSettings) -> dict[str, Any]:
    """Return the fields of the pod. Without the DNS policy, a pod on its node's network could not resolve the name of rank 0."""
    return {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"} if on_host_network(job, settings) else {}


def host_ports(job: FineTuneJob, settings: OperatorSettings) -> dict[str, Any]:
    """Return the field of the container that claims the port of the node."""
    if not on_host_network(job, settings):
        return {}
    port = rendezvous_port(job)
    return {"ports": [{"name": "rendezvous", "containerPort": port, "hostPort": port, "protocol": "TCP"}]}


def _is_asked_for(job: FineTuneJob) -> bool:
    return job.spec.scheduling is not None and job.spec.scheduling.host_network is True
