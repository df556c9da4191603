"""A port and what holds for every connection to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_router.envoy_config import sockets
from tuneloop_router.envoy_config.local_replies import local_replies
from tuneloop_router.envoy_config.typed import FILTERS, Json, tcp_address, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTION_BUFFER = 1 << 16
"""Bytes that a connection holds for one who does not read. Bodies of requests have a limit of their own."""
_IDLE = "300s"
"""Of a connection without a request, and of a request until its route says otherwise."""


def listener(
    name: str,
    *,
    host: str,
    port: int,
    routes: Json,
    filters: Sequence[Json] = (),
    loggers: Sequence[Json] = (),
    upload_seconds: int,
    idle: str = _IDLE,
    most_connections: int | None = None,
) -> Json:
    """Return a listener.

    routes: a field of the connection manager. upload_seconds: for a client to send its whole request. idle: time of a connection without a request.
    most_connections: of this port alone; None: those of the whole proxy.
    """
    router = typed(
        "envoy.filters.http.router",
        FILTERS + "router.v3.Router",
        suppress_envoy_headers=True,
        dynamic_stats=False,  # counts by status and cluster, of which `stats` keeps none
    )
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        codec_type="AUTO",  # HTTP/1.1, and HTTP/2 by prior knowledge
        **routes,
        http_filters=[*filters, router],
        access_log=list(loggers),
        local_reply_config=local_replies(),
        # the peer's address counts, and no peer is trusted to be a proxy of ours
        use_remote_address=True,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        server_header_transformation="PASS_THROUGH",
        generate_request_id=True,
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        max_request_headers_kb=32,
        request_headers_timeout="10s",
        request_timeout=f"{upload_seconds}s",
        stream_idle_timeout=_IDLE,
        stream_flush_timeout="60s",  # for an HTTP/2 client to read the end of an answer, as of a model server
        common_http_protocol_options={
            "idle_timeout": idle,
            "max_headers_count": 100,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        http2_protocol_options={
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 1 << 16,
            "initial_connection_window_size": 1 << 20,
        },
    )
    limit = [] if most_connections is None else [_connection_limit(name, most_connections)]
    return {
        "name": name,
        "address": tcp_address(host, port),
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "socket_options": sockets.of_clients(),
        "filter_chains": [{"filters": [*limit, manager]}],
    }


def _connection_limit(name: str, most: int) -> Json:
    kind = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
    return typed("envoy.filters.network.connection_limit", kind, stat_prefix=name, max_connections=most)
