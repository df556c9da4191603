"""The comparators that there are, and where each is asked for its counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.server_config import METRICS_PORT
from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.controller.observe.local_ports import local_metrics_port
from tuneloop_operator.names import COMPARATOR, COMPONENT_LABEL, DEPLOYMENT_LABEL, MANAGED_BY, MANAGER, is_comparator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Manifest
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
    for manifest in store.of_kind("Deployment", namespace=None):
        if is_comparator(manifest) and (found := _comparator(store, manifest, local=local)):
            yield found


def _comparator(store: Store, manifest: Manifest, *, local: bool) -> Comparator | None:
    """Return the comparator whose Deployment this is; None for one that is not the operator's own."""
    namespace = manifest["metadata"]["namespace"]
    name = (manifest["metadata"].get("labels") or {}).get(DEPLOYMENT_LABEL, "")
    owner = store.get("ModelDeployment", namespace=namespace, name=name)
    if owner is None or not _is_own(manifest, owner):
        return None
    address = _local_address(store, owner) if local else _address(store, owner)
    rollout = (owner.get("status") or {}).get("rollout") or {}
    return Comparator(
        namespace=namespace,
        deployment=name,
        deployment_uid=owner["metadata"]["uid"],
        address=address,
        problem="" if address else f"the comparator of {name} has no address yet that is the operator's own",
        asks_for_replays=rollout.get("replays") is True,
    )


def _is_own(manifest: Manifest, owner: Manifest) -> bool:
    """Whether this is the object of a comparator that the operator made for this ModelDeployment."""
    is_named = manifest["metadata"]["name"] == f"{owner['metadata']['name']}-{COMPARATOR}"
    return is_named and bool(owner_uid(manifest) == owner["metadata"]["uid"])


def _address(store: Store, owner: Manifest) -> str:
    """Return the address by the comparator's Service; empty while there is none.

    The Service is looked at because others may write it: one of another type, or without our selector, would lead the operator to wherever its author likes.
    """
    namespace, name = owner["metadata"]["namespace"], owner["metadata"]["name"]
    service = store.get("Service", namespace=namespace, name=f"{name}-{COMPARATOR}")
    if service is None or not _is_own(service, owner):
        return ""
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
