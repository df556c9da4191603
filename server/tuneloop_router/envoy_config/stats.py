"""Which of Envoy's statistics exist. All others are never made: with all there would be 1,680 series for two revisions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.routes import ROUTES

if TYPE_CHECKING:
    from tuneloop_router.envoy_config.typed import Json

CLUSTERS_VERSION = "cluster_manager.cds.version_text"
ROUTES_VERSION = f"http.front.rds.{ROUTES}.version_text"
CLUSTERS_REFUSED = ("cluster_manager.cds.update_rejected", "cluster_manager.cds.update_failure")
ROUTES_REFUSED = (f"http.front.rds.{ROUTES}.update_rejected", f"http.front.rds.{ROUTES}.update_failure")
WARMING_CLUSTERS = "cluster_manager.warming_clusters"
ACTIVE_REQUESTS = "http.front.downstream_rq_active"
ACTIVE_CONNECTIONS = "http.front.downstream_cx_active"

_KEPT = (
    r"router\..*",
    # of revisions, and of those that fall back: a retry, and a request without a server, is counted where the routes lead
    r"cluster\.[^./]+/[^./]+(/or-stable)?\.(upstream_rq_(retry|retry_success)|upstream_cx_none_healthy)",
    # of revisions, and of the comparator, whose overflow are copies that were dropped
    r"cluster\.[^./]+//?[^./]+\.(membership_(healthy|total)|upstream_rq_pending_overflow)",
    r"cluster\.[^./]+/[^./]+\.outlier_detection\.ejections_active",
    r"http\.front\.downstream_(rq|cx)_active",
    rf"http\.front\.rds\.{ROUTES}\.(update_failure|update_rejected|version_text)",
    r"cluster_manager\.(warming_clusters|cds\.(update_failure|update_rejected|version_text))",
    r"server\.(live|uptime|memory_allocated)",
)
"""Patterns of whole names. `cluster.DEPLOYMENT/REVISION.` and `http.front.` are Envoy's prefixes.

What a client was answered for another reason (401, 413, 429, 0 for one that left) is in `router.requests_total`, without a revision.
"""
_MILLISECONDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)


def healthy_servers(cluster: str) -> str:
    """Return the name of the statistic that counts the servers of a cluster that answer."""
    return f"cluster.{cluster}.membership_healthy"


def stats(deployment: str) -> Json:
    """Return what is counted, which labels it has, and the buckets of times."""
    return {
        "stats_matcher": {"inclusion_list": {"patterns": [{"safe_regex": {"regex": kept}} for kept in _KEPT]}},
        "stats_tags": [
            {"tag_name": "deployment", "regex": r"^cluster\.(([^./]+)/)"},
            {"tag_name": "revision", "regex": rf"^cluster\.[^./]+/(?:{re.escape(deployment)}-)?(([^./]+))"},
        ],
        "histogram_bucket_settings": [
            {
                "match": {"safe_regex": {"regex": r"router\.(duration|first_byte)_milliseconds.*"}},
                "buckets": list(_MILLISECONDS),
            }
        ],
    }
