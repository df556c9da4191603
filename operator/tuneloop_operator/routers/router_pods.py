"""Who asks for a split, on a cluster: the API server says which pod holds the token; the store says whether that pod is a router of the deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.names import token_audience
from tuneloop_operator.names import COMPONENT_LABEL, ROUTER
from tuneloop_operator.routers.server import RouterIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.progress.reviewed_tokens import TokenReviews


class RouterPods:
    """Checks that the holder of a token is a router of the deployment.

    The labels of its pod say so. Whoever may create pods in the namespace can write such labels: the namespace is the tenant. A token for the
    deployment, of its namespace, shows no more than the split, and reports no more than a generation.
    """

    def __init__(
        self,
        *,
        reviews: TokenReviews,
        deployment_of: Callable[[str, str], Manifest | None],
        children_of: Callable[[str, str], Iterable[Manifest]],
    ) -> None:
        """Both functions get namespace and name of a ModelDeployment. children_of returns the objects with its label, at least pods."""
        self._reviews = reviews
        self._deployment_of = deployment_of
        self._children_of = children_of

    async def authenticate(self, token: str, *, namespace: str, name: str) -> RouterIdentity | None:
        """Return the router; None if the token is not valid for this deployment. Raises `ClusterError` if the token cannot be checked now."""
        deployment = self._deployment_of(namespace, name)
        if deployment is None:
            return None
        holder = await self._reviews.holder(token, audience=token_audience(deployment["metadata"]["uid"]))
        if holder is None:
            return None
        pods = (child for child in self._children_of(namespace, name) if child["kind"] == "Pod")
        pod = next((pod for pod in pods if pod["metadata"]["uid"] == holder.pod_uid), None)
        is_router = pod is not None and pod["metadata"]["labels"].get(COMPONENT_LABEL) == ROUTER
        is_here = holder.username.startswith(f"system:serviceaccount:{namespace}:")
        sender = holder.pod_name or holder.username
        return RouterIdentity(name=sender, may_ask=is_router and is_here)
