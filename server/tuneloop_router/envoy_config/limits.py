"""What a client may ask for, as overrides of the front's filters: they come with the routes, so that a change closes no connection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.typed import FILTERS, Json, always, message

if TYPE_CHECKING:
    from tuneloop_router.split import Limits, RateLimit

KEYS_FILTER, RATE_FILTER, BODY_FILTER = "keys", "limit", "body"
"""The filters of the front, in their order: a request without a key must not use up the rate, nor be held in memory."""
_SHORTEST_FILL_SECONDS = 0.05


def filter_overrides(limits: Limits) -> Json:
    """Return, by filter, what holds for all requests."""
    overrides = {
        BODY_FILTER: message(FILTERS + "buffer.v3.BufferPerRoute", buffer={"max_request_bytes": limits.body_bytes}),
        RATE_FILTER: _rate(limits.rate_limit) if limits.rate_limit else _off(),
    }
    return overrides if limits.api_key else overrides | without_key()


def without_key() -> Json:
    """Return, by filter, that requests need no key."""
    return {KEYS_FILTER: _off()}


def _off() -> Json:
    """Return that a filter is not even made for a request."""
    return message("envoy.config.route.v3.FilterConfig", disabled=True)


def _rate(limit: RateLimit) -> Json:
    tokens = max(1, math.ceil(limit.requests_per_second * _SHORTEST_FILL_SECONDS))
    return message(
        FILTERS + "local_ratelimit.v3.LocalRateLimit",
        stat_prefix=RATE_FILTER,
        token_bucket={
            "max_tokens": limit.burst,
            "tokens_per_fill": tokens,
            "fill_interval": f"{tokens / limit.requests_per_second:.9f}s",
        },
        filter_enabled=always(),
        filter_enforced=always(),
        response_headers_to_add=[{"header": {"key": "retry-after", "value": "1"}}],
    )
