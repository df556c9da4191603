"""Which deployments have a router in front of their servers, and which pods answer users. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.access import Access
from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
from tuneloop_cli.local.cluster.pod_objects import is_router
from tuneloop_operator.names import COMPONENT_LABEL
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.cluster import Manifest


def has_router(deployment: Manifest) -> bool:
    """Whether requests to a ModelDeployment go by a router, which divides them or checks who asks."""
    rollout, access = (deployment["spec"].get(field) for field in ("rollout", "access"))
    if access is not None and Access.from_wire(access).needs_routers:
        return True
    return rollout is not None and RolloutOptions.from_wire(rollout).has_routers


def answers_users(pod: Manifest, deployment: Manifest | None) -> bool:
    """Whether users call this pod: the router if its ModelDeployment has one, else a server."""
    if deployment is not None and has_router(deployment):
        return is_router(pod)
    return COMPONENT_LABEL not in (pod["metadata"].get("labels") or {})


def leads_to_router(deployment: Manifest, pods: Iterable[Manifest]) -> bool:
    """Whether the address in the status of a ModelDeployment is that of its router. Until a router is ready, it is that of a server."""
    url = (deployment.get("status") or {}).get("url", "")
    routers = (pod["metadata"].get("annotations") or {} for pod in pods if is_router(pod))
    return url in [annotations[LOCAL_URL] for annotations in routers if LOCAL_URL in annotations]
