"""Which of Envoy's statistics exist. All others are never made: with all there would be 1,680 series for two revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.limits import RATE_FILTER
from tuneloop_router.envoy_config.routes import ROUTES

if TYPE_CHECKING:
    from tuneloop_router.envoy_config.typed import Json

CLUSTERS_VERSION = "cluster_manager.cds.version_text"
ROUTES_VERSION = f"http.front.rds.{ROUTES}.version_text"
CLUSTERS_REFUSED = ("cluster_manager.cds.update_rejected", "cluster_manager.cds.update_failure")
ROUTES_REFUSED = (f"http.front.rds.{ROUTES}.update_rejected", f"http.front.rds.{ROUTES}.update_failure")
WARMING_CLUSTERS = "cluster_manager.warming_clusters"
ACTIVE_REQUESTS = "http.front.downstream_rq_active"

_KEPT = (
    r"router\..*",
    r"cluster\.[^.]+/[^.]+\.upstream_rq_(retry|retry_success|retry_limit_exceeded|pending_overflow)",
    r"cluster\.[^.]+/[^.]+\.membership_(healthy|total)",
    r"cluster\.[^.]+/[^.]+\.outlier_detection\.ejections_active",
    r"http\.front\.(downstream_rq_(active|rx_reset|too_large)|downstream_cx_active)",
    rf"http\.front\.rds\.{ROUTES}\.(update_failure|update_rejected|update_success|version_text)",
    rf"{RATE_FILTER}\.http_local_rate_limit\.rate_limited",
    r"cluster_manager\.(warming_clusters|cds\.(update_failure|update_rejected|update_success|version_text))",
    r"server\.(live|state|uptime|memory_allocated)",
    r"listener_manager\.total_listeners_draining",
    r"http\.front\.api_key_auth\..*",
)
"""Patterns of whole names. `cluster.DEPLOYMENT/REVISION.` and `http.front.` are Envoy's prefixes."""
_MILLISECONDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)


def healthy_servers(cluster: str) -> str:
    """Return the name of the statistic that counts the servers of a cluster that answer."""
    return f"cluster.{cluster}.membership_healthy"


def stats() -> Json:
    """Return what is counted, which labels it has, and the buckets of times."""
    return {
        "stats_matcher": {"inclusion_list": {"patterns": [{"safe_regex": {"regex": kept}} for kept in _KEPT]}},
        "stats_tags": [
            {"tag_name": "deployment", "regex": r"^cluster\.(([^./]+)/)"},
            {"tag_name": "revision", "regex": r"^cluster\.(?:[^./]+/)?(([^.]+)\.)"},
        ],
        "histogram_bucket_settings": [
            {"match": {"safe_regex": {"regex": r"router\.(duration|first_byte).*"}}, "buckets": list(_MILLISECONDS)}
        ],
    }
