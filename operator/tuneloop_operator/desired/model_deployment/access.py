"""What routers check of each request: `spec.access` as limits in their split, and the keys of clients as a file of their pods. A key stands in no object of ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.router import RateLimit, RouterLimits

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment

_DIRECTORY, _FILE = "/etc/tuneloop-api-keys", "keys"
VOLUME = "api-keys"


def router_limits(deployment: ModelDeployment, *, routers: int) -> RouterLimits | None:
    """Return what each of so many routers checks; None: nothing beside its own limits.

    A router knows its own requests alone, so that each lets its part of the rate through. Connections of clients are spread over routers, not their requests:
    who keeps one connection gets the part of one router.
    """
    access = deployment.spec.access
    if access is None or not access.needs_routers:
        return None
    rate, limit = access.rate_limit, None
    if rate is not None:
        burst = math.ceil(rate.requests_per_second) if rate.burst is None else rate.burst
        limit = RateLimit(requests_per_second=rate.requests_per_second / routers, burst=math.ceil(burst / routers))
    return RouterLimits(rate_limit=limit, api_key=access.api_key_secret_ref is not None)


def api_keys_path(deployment: ModelDeployment) -> str | None:
    """Return where routers find the keys of clients; None: requests need none."""
    return f"{_DIRECTORY}/{_FILE}" if deployment.spec.api_key_secret_ref is not None else None


def api_keys_volumes(deployment: ModelDeployment) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the volume with the keys, which the kubelet keeps up to date, and its mount; nothing where requests need no key."""
    reference = deployment.spec.api_key_secret_ref
    if reference is None:
        return [], []
    # not optional: the kubelet says what is missing, and no router answers meanwhile
    source = {"secretName": reference.name, "items": [{"key": reference.key, "path": _FILE}]}
    return [{"name": VOLUME, "secret": source}], [{"name": VOLUME, "mountPath": _DIRECTORY, "readOnly": True}]
