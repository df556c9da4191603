"""The file that Envoy starts with: ports, filters, statistics, and which files it watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.access_log import access_log
from tuneloop_router.envoy_config.api_keys import api_keys_filter
from tuneloop_router.envoy_config.limits import BODY_FILTER, RATE_FILTER
from tuneloop_router.envoy_config.listener import listener
from tuneloop_router.envoy_config.metrics_port import ADMIN_CLUSTER, metrics_port
from tuneloop_router.envoy_config.overload import overload_manager
from tuneloop_router.envoy_config.routes import ROUTES
from tuneloop_router.envoy_config.stats import stats
from tuneloop_router.envoy_config.typed import FILTERS, Json, endpoints, typed
from tuneloop_router.split import DEFAULT_BODY_BYTES

if TYPE_CHECKING:
    from tuneloop_router.envoy_config.places import Places

_UNUSED_SERIES = "21600s"
"""Requests of a revision, or with a status, that have not come for 6 to 12 hours have no series any more. With all of them there would be 36 more after each roll-out."""


def bootstrap(
    deployment: str, places: Places, *, upload_seconds: int, most_connections: int, memory_bytes: int
) -> Json:
    """Return the file. upload_seconds: for a client to send its whole request, headers and body. memory_bytes: of router and Envoy together."""
    admin = {"pipe": {"path": places.admin_socket, "mode": 0o600}}
    return {
        "node": {"id": f"{deployment}-{places.port}", "cluster": deployment},
        "admin": {"address": admin},
        "stats_config": stats(deployment),
        "stats_eviction_interval": _UNUSED_SERIES,
        "dynamic_resources": {"cds_config": _watched(places.clusters)},
        "static_resources": {
            "listeners": [_front(deployment, places, upload_seconds=upload_seconds), metrics_port(places)],
            "clusters": [
                {
                    "name": ADMIN_CLUSTER,
                    "connect_timeout": "1s",
                    "load_assignment": endpoints(ADMIN_CLUSTER, admin),
                }
            ],
        },
        "overload_manager": overload_manager(memory_bytes=memory_bytes, most_connections=most_connections),
    }


def _front(deployment: str, places: Places, *, upload_seconds: int) -> Json:
    """Return the listener for the model's requests. Its filters get their limits from the routes."""
    return listener(
        "front",
        host=places.host,
        port=places.port,
        routes={"rds": {"route_config_name": ROUTES, "config_source": _watched(places.routes)}},
        filters=[
            api_keys_filter(places.api_keys),
            typed(RATE_FILTER, FILTERS + "local_ratelimit.v3.LocalRateLimit", stat_prefix=RATE_FILTER),
            # holds the whole body: a slow client never reaches a model server, and any request can be repeated
            typed(BODY_FILTER, FILTERS + "buffer.v3.Buffer", max_request_bytes=DEFAULT_BODY_BYTES),
        ],
        loggers=access_log(deployment),
        upload_seconds=upload_seconds,
    )


def _watched(path: str) -> Json:
    """Return the source of a file that is read anew when another is moved over it."""
    return {"resource_api_version": "V3", "path_config_source": {"path": path}}
