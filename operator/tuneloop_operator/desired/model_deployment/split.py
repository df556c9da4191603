"""What the routers of a deployment are told: the shares of the roll-out's memory, with the addresses of the revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.router import RoutedRevision, RouterLimits, RouterSplit, ShadowTarget, StickyHeader
from tuneloop_api.contract.server_config import MOST_BODY_BYTES, SERVER_PORT
from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.model_deployment.endpoints import READYZ, ServerEndpoints
from tuneloop_operator.desired.model_deployment.service import endpoints_name
from tuneloop_operator.names import comparator_name, revision_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus

Address = tuple[str, int]
"""Host and port."""


def router_split(
    deployment: ModelDeployment,
    rollout: RolloutStatus,
    *,
    sticky_header: str | None = None,
    limits: RouterLimits | None = None,
    address_of: Callable[[str], Address] | None = None,
    endpoints_of: Callable[[str], ServerEndpoints] = lambda _: ServerEndpoints(),
    comparator: Address | None = None,
) -> RouterSplit:
    """Return the split that the status wants, the newest revision first and stable last, also with a share of 0: it takes over where another one fails.

    address_of: address of a revision's servers, where they are no pods; None: the name by which each pod is found.
    endpoints_of: where the servers of a revision answer.
    comparator: its address, where it is no pod; None: the name of its Service.
    """
    address_of = address_of or _pods_of(deployment, endpoints_of)
    shares = {share.revision: share.weight for share in rollout.split.weights}
    revisions = [*(name for name in shares if name != rollout.stable), rollout.stable]
    # the salt is the same for the whole roll-out: with another one its users would move
    sticky = StickyHeader(header=sticky_header, salt=_salt(rollout)) if sticky_header else None
    percent = rollout.split.shadow
    return RouterSplit(
        generation=rollout.split.generation,
        deployment=deployment.metadata["name"],
        revisions=[
            RoutedRevision(
                name=revision_name(deployment, name),
                host=host,
                port=port,
                weight=shares.get(name, 0),
                health_path=_health_path(endpoints_of(name)),
                only_once=None if endpoints_of(name).is_ours else True,
            )
            for name in revisions
            for host, port in [address_of(name)]
        ],
        sticky=sticky,
        shadow=_copies(comparator or _service_of_comparator(deployment), percent) if percent else None,
        limits=_fitting(limits or RouterLimits(), map(endpoints_of, revisions)),
    )


def _pods_of(deployment: ModelDeployment, endpoints_of: Callable[[str], ServerEndpoints]) -> Callable[[str], Address]:
    namespace = deployment.metadata["namespace"]
    return lambda revision: (f"{endpoints_name(deployment, revision)}.{namespace}.svc", endpoints_of(revision).port)


def _health_path(endpoints: ServerEndpoints) -> str | None:
    """Return where a router asks whether a server is ready; None for our own, as messages of earlier releases have it."""
    return None if endpoints.readiness_path == READYZ else endpoints.readiness_path


def _fitting(limits: RouterLimits, servers: Iterable[ServerEndpoints]) -> RouterLimits:
    """Return the limits with the largest body that the servers take, where all are ours: routers hold no more of it than that."""
    return changed(limits, body_bytes=MOST_BODY_BYTES) if all(server.is_ours for server in servers) else limits


def _salt(rollout: RolloutStatus) -> str:
    return rollout.canary or rollout.stable


def _service_of_comparator(deployment: ModelDeployment) -> Address:
    return f"{comparator_name(deployment)}.{deployment.metadata['namespace']}.svc", SERVER_PORT


def _copies(address: Address, percent: int) -> ShadowTarget:
    host, port = address
    return ShadowTarget(host=host, port=port, percent=percent)
