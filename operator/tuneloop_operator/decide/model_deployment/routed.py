"""The split that the routers of a deployment are to follow now, as its status wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout_spec import sticky_header_of
from tuneloop_operator.decide.model_deployment.router_facts import leads_to_routers, router_count, serving_port
from tuneloop_operator.desired.model_deployment.access import router_limits
from tuneloop_operator.desired.model_deployment.endpoints import endpoints_in, endpoints_of
from tuneloop_operator.desired.model_deployment.network_policy import server_policy
from tuneloop_operator.desired.model_deployment.split import router_split
from tuneloop_operator.names import REVISION_LABEL, revision_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.router import RouterSplit
    from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
    from tuneloop_operator.cluster import Manifest
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
    if status is None or status.rollout is None:
        return None
    if status.rollout.strategy == "Recreate" and not observed.deployment.spec.has_limited_access:
        return None
    return split_with(observed, status.rollout, settings=settings)


def split_with(observed: ObservedDeployment, rollout: RolloutStatus, *, settings: OperatorSettings) -> RouterSplit:
    """Return the split of this memory."""
    count = router_count(observed, is_local=settings.local)
    return router_split(
        observed.deployment,
        rollout,
        sticky_header=sticky_header_of(observed.deployment),
        limits=router_limits(observed.deployment, routers=count),
        address_of=addresses_of(observed, settings=settings),
        endpoints_of=endpoints_by_revision(observed),
        comparator=comparator_address(observed, settings=settings),
    )


def addresses_of(observed: ObservedDeployment, *, settings: OperatorSettings) -> Callable[[str], Address] | None:
    """Return the address of each revision, where servers are processes of this machine; None: each has a name."""
    if not settings.local:
        return None

    def address_of(revision: str) -> Address:
        port = serving_port(observed, revision)
        return _NOBODY if port is None else (_LOOPBACK, port)

    return address_of


def endpoints_by_revision(observed: ObservedDeployment) -> Callable[[str], ServerEndpoints]:
    """Return where the servers of each revision answer: as its Deployment says, and before it has one, as the spec says of which it is made."""

    def of(revision: str) -> ServerEndpoints:
        stored = observed.present.get(("Deployment", revision_name(observed.deployment, revision)))
        return endpoints_in(stored) if stored else endpoints_of(observed.deployment.spec)

    return of


def policy_of_servers(observed: ObservedDeployment, *, settings: OperatorSettings) -> Manifest:
    """Return the NetworkPolicy of the servers of all revisions that have a Deployment, and of the one that the spec asks for.

    Where a key is needed it closes at once, with the Service. For a rate alone it closes once requests go by routers.
    """
    access = observed.deployment.spec.access
    is_closed = access is not None and access.needs_routers and access.network_policy is not False
    stored = [
        endpoints_in(manifest)
        for (kind, _), manifest in sorted(observed.present.items())
        if kind == "Deployment" and REVISION_LABEL in manifest["metadata"]["labels"]
    ]
    return server_policy(
        observed.deployment,
        settings=settings,
        other_endpoints=tuple(stored),
        is_behind_routers=is_closed
        and (observed.deployment.spec.api_key_secret_ref is not None or leads_to_routers(observed)),
    )


def comparator_address(observed: ObservedDeployment, *, settings: OperatorSettings) -> Address | None:
    """Return the address at which the comparator takes copies, where it is a process of this machine; None: it has a name."""
    if not settings.local:
        return None
    ports = [pod.port for pod in observed.comparator_pods if pod.port is not None]
    return (_LOOPBACK, ports[0]) if ports else _NOBODY
