"""Who may ask a ModelDeployment, and how often: `spec.access`. Routers check it, which every deployment with a key or a rate has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuneloop_api.v1alpha1.common import Name
from tuneloop_api.v1alpha1.pod_env import ObjectKey
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only

_SLOWEST = 0.1
"""Requests a second."""


class ApiKeyReference(SpecModel):
    """One key of a Secret in this namespace."""

    name: Name
    """Name of the Secret, in the namespace of the ModelDeployment. For example `reviews-clients`."""
    key: ObjectKey
    """Key in it whose value is the API keys, one a line: 1 to 512 printable ASCII characters without spaces, 100 lines at most. For example `api-keys`."""


class RequestRate(SpecModel):
    """How many requests are let through."""

    requests_per_second: Annotated[float, Field(le=1_000_000)]
    """Number of requests a second that all clients together may make, 0.1 to 1000000; what comes beyond it is answered 429 with Retry-After. Each router lets its
    part through: with two routers half of it. For example `50`."""
    burst: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Number of requests that may come at once after a quiet time, 1 to 10000000. Default: those of one second. For example `100`."""

    rules = (
        # no `minimum` of the schema: the API server cuts a fraction off it where a whole number is given, so that 0 would pass
        Rule(
            field="requestsPerSecond",
            cel=f"self.requestsPerSecond >= {_SLOWEST}",
            holds=lambda rate: rate.requests_per_second >= _SLOWEST,
            message=f"must be at least {_SLOWEST}; for example 50",
        ),
    )


class Access(SpecModel):
    """Who may ask the servers, and how often. With `apiKeySecretRef` or `rateLimit` all requests go by routers, also without `rollout`."""

    api_key_secret_ref: ApiKeyReference | None = None
    """The Secret with the API keys, of which a request needs one as `Authorization: Bearer KEY` or `x-api-key: KEY`; another one is answered 401. Several are valid at the same time,
    and a change of the Secret is taken up without a restart. While the Secret or its key is missing nothing is answered. Default: everybody may ask. For example
    `{name: reviews-clients, key: api-keys}`."""
    rate_limit: RequestRate | None = None
    """How many requests a second are let through. Default: as many as the servers answer. For example `{requestsPerSecond: 50, burst: 100}`."""
    network_policy: bool | None = None
    """Whether the servers are closed to everybody but the routers and the comparator of this deployment, so that no pod gets past key and rate. Not the port of metrics, where it is
    another one. Applies only together with `apiKeySecretRef` or `rateLimit`. Default: true."""

    @property
    def needs_routers(self) -> bool:
        """Whether routers are needed to check it."""
        return self.api_key_secret_ref is not None or self.rate_limit is not None

    rules = (
        applies_only(
            "network_policy",
            to="access with apiKeySecretRef or rateLimit",
            hint="without them everybody may reach the servers",
            cel="has(self.apiKeySecretRef) || has(self.rateLimit)",
            holds=lambda access: access.needs_routers,
        ),
    )
