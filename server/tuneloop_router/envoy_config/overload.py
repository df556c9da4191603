"""What Envoy does when clients take its memory: it refuses some, so that the kernel ends nobody.

What a client holds is bounded (a body, two buffers), but not how many clients do. So the heap has a limit below the memory of the pod:

| of the heap | what happens |
|---|---|
| 80 to 95 % | who keeps a connection or a request without moving a byte has less and less time, at last 2 s and 10 s |
| 85 to 95 % | a part of what arrives is refused with 503, at last everything: a body that grows takes many chances, a small request takes one |
| 85 to 95 % | the largest streams of HTTP/2 are ended |
| 95 % | no request is taken, and an HTTP/2 connection that sends is closed |
| 98 % | no connection is taken |

HTTP/1.1 has no way to end the largest requests first.
"""

from __future__ import annotations

from tuneloop_router.envoy_config.typed import Json, typed

_HEAP, _ACTIONS, _POINTS = "envoy.resource_monitors.fixed_heap", "envoy.overload_actions.", "envoy.load_shed_points."
_REFRESH = "0.05s"
"""Between two looks at the heap. Clients on the same machine send up to 50 MiB meanwhile."""
_STREAM_POWER = 16
"""HTTP/2 streams that hold 64 KiB are known by their size, in eight classes that double."""
_HEAP_SHARE = 0.625
"""Of the memory. The rest is this program, Envoy's own pages, what is free between what is used, and what comes between two looks."""


def heap_bytes(memory_bytes: int) -> int:
    """Return the limit of Envoy's heap for a router that may take so much memory."""
    return int(memory_bytes * _HEAP_SHARE)


def overload_manager(*, memory_bytes: int, most_connections: int) -> Json:
    """Return what is looked at and what follows."""
    return {
        "refresh_interval": _REFRESH,
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": _STREAM_POWER},
        "resource_monitors": [
            typed(
                _HEAP,
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=heap_bytes(memory_bytes),
            ),
            typed(
                "envoy.resource_monitors.global_downstream_max_connections",
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=most_connections,
            ),
        ],
        "actions": [
            _GIVE_BACK | _from(0.01),  # always
            _LESS_PATIENCE | _between(0.8, 0.95),
            {"name": f"{_ACTIONS}reset_high_memory_stream"} | _between(0.85, 0.95),
            {"name": f"{_ACTIONS}stop_accepting_requests"} | _from(0.95),
        ],
        "loadshed_points": [
            {"name": f"{_POINTS}http1_server_abort_dispatch"} | _between(0.85, 0.95),
            {"name": f"{_POINTS}http2_server_go_away_and_close_on_dispatch"} | _from(0.95),
            {"name": f"{_POINTS}tcp_listener_accept"} | _from(0.98),
        ],
    }


_LESS_PATIENCE = typed(
    f"{_ACTIONS}reduce_timeouts",
    "envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
    timer_scale_factors=[
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"},
        {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_timeout": "10s"},
        {"timer": "HTTP_DOWNSTREAM_STREAM_FLUSH", "min_timeout": "5s"},
    ],
)
"""Of connections without a request, of requests on which no byte moves, and of clients that do not read the end of an answer."""
_GIVE_BACK = typed(
    f"{_ACTIONS}shrink_heap",
    "envoy.config.overload.v3.ShrinkHeapConfig",
    timer_interval="10s",
    max_unfreed_memory_bytes=32 << 20,
)
"""Memory that is free goes back to the system."""


def _from(share: float) -> Json:
    return {"triggers": [{"name": _HEAP, "threshold": {"value": share}}]}


def _between(least: float, most: float) -> Json:
    return {"triggers": [{"name": _HEAP, "scaled": {"scaling_threshold": least, "saturation_threshold": most}}]}
