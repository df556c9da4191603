"""The comparators that there are, and where each is asked for its counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.server_config import METRICS_PORT
from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.controller.observe.local_ports import local_metrics_port
from tuneloop_operator.names import COMPARATOR, COMPONENT_LABEL, DEPLOYMENT_LABEL, MANAGED_BY, MANAGER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.controller.store import Store

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Comparator:
    """A comparator to ask."""

    namespace: str
    deployment: str
    """Name of the ModelDeployment."""
    deployment_uid: str
    address: str
    """Scheme, host and port of its counts; empty: it cannot be asked."""
    problem: str = ""
    """Why not, as a sentence without a full stop."""
    asks_for_replays: bool = False
    """Whether the roll-out wants golden requests to be replayed."""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name of the ModelDeployment."""
        return self.namespace, self.deployment


def comparators_of(store: Store, *, local: bool) -> Iterator[Comparator]:
    """Yield the comparators of all deployments. local: they are processes of this machine."""
    for owner in store.of_kind("ModelDeployment", namespace=None):
        if (found := _comparator(store, owner, local=local)) is not None:
            yield found


def comparator_of(store: Store, namespace: str, name: str, *, local: bool) -> Comparator | None:
    """Return the comparator of a ModelDeployment; None if it has none."""
    owner = store.get("ModelDeployment", namespace=namespace, name=name)
    return None if owner is None else _comparator(store, owner, local=local)


def _comparator(store: Store, owner: Manifest, *, local: bool) -> Comparator | None:
    if _own_child(store, "Deployment", owner) is None:
        return None
    metadata = owner["metadata"]
    address = _local_address(store, owner) if local else _address(store, owner)
    rollout = (owner.get("status") or {}).get("rollout") or {}
    return Comparator(
        namespace=metadata["namespace"],
        deployment=metadata["name"],
        deployment_uid=metadata["uid"],
        address=address,
        problem="" if address else _problem(store, owner, local=local),
        asks_for_replays=rollout.get("replays") is True,
    )


def _problem(store: Store, owner: Manifest, *, local: bool) -> str:
    """Return why a comparator has no address: it starts, or somebody has put another Service in the place of its own."""
    namespace, name = owner["metadata"]["namespace"], f"{owner['metadata']['name']}-{COMPARATOR}"
    if local or store.get("Service", namespace=namespace, name=name) is None:
        return f"the comparator of {owner['metadata']['name']} is still starting"
    return f"Service {name} is not as the operator makes it, and is not asked"


def _own_child(store: Store, kind: Kind, owner: Manifest) -> Manifest | None:
    """Return the object of this kind that the operator made for the comparator; None for one of somebody else."""
    namespace, name = owner["metadata"]["namespace"], f"{owner['metadata']['name']}-{COMPARATOR}"
    child = store.get(kind, namespace=namespace, name=name)
    return child if child is not None and owner_uid(child) == owner["metadata"]["uid"] else None


def _address(store: Store, owner: Manifest) -> str:
    """Return the address by the comparator's Service; empty while there is none.

    The Service is looked at because others may write it: one of another type, or without our selector, would lead the operator to wherever its author likes.
    """
    service = _own_child(store, "Service", owner)
    if service is None:
        return ""
    namespace, name = owner["metadata"]["namespace"], owner["metadata"]["name"]
    spec = service.get("spec") or {}
    pods = {MANAGED_BY: MANAGER, DEPLOYMENT_LABEL: name, COMPONENT_LABEL: COMPARATOR}
    is_ours = spec.get("type", "ClusterIP") == "ClusterIP" and spec.get("selector") == pods
    return f"http://{name}-{COMPARATOR}.{namespace}.svc:{METRICS_PORT}" if is_ours else ""


def _local_address(store: Store, owner: Manifest) -> str:
    """Return the address of the comparator's process; empty before it is started."""
    namespace, name = owner["metadata"]["namespace"], owner["metadata"]["name"]
    pods = [
        pod
        for pod in store.labelled(DEPLOYMENT_LABEL, name, namespace=namespace, kind="Pod")
        if pod["metadata"]["labels"].get(COMPONENT_LABEL) == COMPARATOR and "deletionTimestamp" not in pod["metadata"]
    ]
    ports = [port for pod in pods if (port := local_metrics_port(pod)) is not None]
    return f"http://{_LOOPBACK}:{ports[0]}" if ports else ""
