"""The split that the routers of a deployment are to follow now, as its status wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout_spec import sticky_header_of
from tuneloop_operator.desired.model_deployment.endpoints import endpoints_in, endpoints_of
from tuneloop_operator.desired.model_deployment.split import router_split
from tuneloop_operator.names import REVISION_LABEL, revision_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.router import RouterSplit
    from tuneloop_operator.desired.model_deployment.endpoints import ServerEndpoints
    from tuneloop_operator.desired.model_deployment.split import Address
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment

_LOOPBACK = "127.0.0.1"
_NOBODY = (_LOOPBACK, 9)
"""Of a revision whose server has not started, and of such a comparator: the port on which nobody answers."""


def split_of(observed: ObservedDeployment, *, settings: OperatorSettings) -> RouterSplit | None:
    """Return the split; None if no router is to follow one."""
    status = observed.deployment.status
    if status is None or status.rollout is None or status.rollout.strategy == "Recreate":
        return None
    return router_split(
        observed.deployment,
        status.rollout,
        sticky_header=sticky_header_of(observed.deployment),
        address_of=addresses_of(observed, settings=settings),
        endpoints_of=endpoints_by_revision(observed),
        comparator=comparator_address(observed, settings=settings),
    )


def addresses_of(observed: ObservedDeployment, *, settings: OperatorSettings) -> Callable[[str], Address] | None:
    """Return the address of each revision, where servers are processes of this machine; None: each has a name."""
    if not settings.local:
        return None

    def address_of(revision: str) -> Address:
        ports = [pod.port for pod in observed.pods if pod.revision == revision and pod.port is not None]
        return (_LOOPBACK, ports[0]) if ports else _NOBODY

    return address_of


def endpoints_by_revision(observed: ObservedDeployment) -> Callable[[str], ServerEndpoints]:
    """Return where the servers of each revision answer: as its Deployment says, and before it has one, as the spec says of which it is made."""

    def of(revision: str) -> ServerEndpoints:
        stored = observed.present.get(("Deployment", revision_name(observed.deployment, revision)))
        return endpoints_in(stored) if stored else endpoints_of(observed.deployment.spec)

    return of


def ports_of_revisions(observed: ObservedDeployment) -> frozenset[int]:
    """Return the ports of the servers of all revisions that have a Deployment."""
    stored = (
        manifest
        for (kind, _), manifest in observed.present.items()
        if kind == "Deployment" and REVISION_LABEL in manifest["metadata"]["labels"]
    )
    return frozenset().union(*(endpoints_in(manifest).ports for manifest in stored))


def comparator_address(observed: ObservedDeployment, *, settings: OperatorSettings) -> Address | None:
    """Return the address at which the comparator takes copies, where it is a process of this machine; None: it has a name."""
    if not settings.local:
        return None
    ports = [pod.port for pod in observed.comparator_pods if pod.port is not None]
    return (_LOOPBACK, ports[0]) if ports else _NOBODY
