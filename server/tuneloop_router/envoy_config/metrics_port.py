"""The second port: exactly GET /metrics and GET /readyz of Envoy's admin interface, and nothing else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.hosts import virtual_hosts
from tuneloop_router.envoy_config.listener import listener

if TYPE_CHECKING:
    from tuneloop_router.envoy_config.places import Places
    from tuneloop_router.envoy_config.typed import Json

ADMIN_CLUSTER = "admin"
_MOST_CONNECTIONS = 256
_PAGES = {"/metrics": "/stats/prometheus", "/readyz": "/ready"}


def metrics_port(places: Places) -> Json:
    """Return the listener for probes and metrics."""
    routes = [_page(path, target) for path, target in _PAGES.items()]
    table = {"name": "metrics", "virtual_hosts": virtual_hosts("metrics", routes, places.metrics_hosts)}
    port = listener(
        "metrics",
        host=places.host,
        port=places.metrics_port,
        routes={"route_config": table},
        upload_seconds=10,
        idle="10s",
        most_connections=_MOST_CONNECTIONS,
    )
    # clients of the model keep no probe out, however many they are and whatever memory they take
    return port | {"ignore_global_conn_limit": True, "bypass_overload_manager": True}


def _page(path: str, target: str) -> Json:
    # the header `:path` has the query, which the path has not: a query would choose other statistics
    exact = {":method": "GET", ":path": path}
    headers = [{"name": name, "string_match": {"exact": value}} for name, value in exact.items()]
    rewrite = {"pattern": {"regex": "^.*$"}, "substitution": target}
    return {
        "match": {"path": path, "headers": headers},
        "route": {"cluster": ADMIN_CLUSTER, "regex_rewrite": rewrite, "timeout": "10s"},
    }
