"""Clusters: one for each revision, one that falls back to stable for each but stable, and the comparator's.

Names are `deployment/revision…`: one name carries both labels of a metric. A revision's name has no `/`, so no name is made twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_router.envoy_config import sockets
from tuneloop_router.envoy_config.listener import CONNECTION_BUFFER
from tuneloop_router.envoy_config.typed import Json, endpoints, message, tcp_address, typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_router.split import Revision, Shadow, Split

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_CONNECT_TIMEOUT = "0.5s"
_DNS = typed(
    "envoy.cluster.dns",
    "envoy.extensions.clusters.dns.v3.DnsCluster",
    dns_refresh_rate="1s",
    dns_lookup_family="V4_PREFERRED",
)
"""A headless Service's name resolves to the pods of a revision, ready or not: the health check says which are."""
_LIMITS = {
    "thresholds": [
        {
            "max_connections": 4096,
            "max_pending_requests": 4096,
            "max_requests": 4096,
            # a share of the live requests: by default a cluster retries 3 requests at a time, and a dead canary fails the others
            "retry_budget": {"budget_percent": {"value": 100}, "min_retry_concurrency": 100},
        }
    ]
}
_COMPARATOR_LIMITS = {
    "thresholds": [{"max_connections": 16, "max_pending_requests": 16, "max_requests": 32, "max_retries": 0}]
}
"""A slow comparator holds so many copies and no more: further ones are dropped and counted."""
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_IDLE = "4s"
"""Below the 5 s after which a model server closes an idle connection; otherwise it closes one as a request is sent."""


def clusters(split: Split, *, version: str, also: Iterable[Split] = ()) -> Json:
    """Return the file of clusters. also: splits before it, the oldest first; of a name that several have, the newest cluster counts."""
    resources: dict[str, Json] = {}
    for found in (*also, split):
        resources |= _by_name(found)
    return {"version_info": version, "resources": list(resources.values())}


def revision_cluster_name(split: Split, revision: Revision) -> str:
    """Return the name of the cluster with the endpoints of a revision."""
    return f"{split.deployment}/{revision.name}"


def target_cluster_name(split: Split, revision: Revision) -> str:
    """Return the name of the cluster that routes choose for a revision: it falls back to stable, and stable has no fallback."""
    name = revision_cluster_name(split, revision)
    return name if revision is split.stable else f"{name}/or-stable"


def comparator_cluster_name(split: Split) -> str:
    """Return the name of the comparator's cluster. It has no revision, and so has no metric of it."""
    return f"{split.deployment}//comparator"


def _by_name(split: Split) -> dict[str, Json]:
    found = [_revision_cluster(split, revision) for revision in split.revisions]
    found += [_fallback_cluster(split, revision) for revision in split.revisions[:-1]]
    found += [_comparator_cluster(split, split.shadow)] if split.shadow else []
    return {cluster["name"]: cluster for cluster in found}


def _revision_cluster(split: Split, revision: Revision) -> Json:
    name = revision_cluster_name(split, revision)
    host = f"{revision.host}:{revision.port}"
    metadata = _metadata(split, revision)
    load_assignment = endpoints(name, tcp_address(revision.host, revision.port), hostname=host, metadata=metadata)
    return message(
        _CLUSTER,
        name=name,
        metadata=metadata,
        cluster_type=_DNS,
        connect_timeout=_CONNECT_TIMEOUT,
        lb_policy="LEAST_REQUEST",
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER,
        upstream_bind_config={"socket_options": sockets.of_servers()},
        load_assignment=load_assignment,
        common_lb_config=_PANIC,
        # without `host` it is the cluster's name, and servers answer 400 to a Host header with a `/`
        health_checks=[_HEALTH_CHECK | {"http_health_check": {"path": revision.health_path, "host": host}}],
        outlier_detection=_OUTLIERS,
        circuit_breakers=_LIMITS,
        typed_extension_protocol_options={
            _HTTP_OPTIONS: message(
                _HTTP_OPTIONS,
                explicit_http_config={"http_protocol_options": {}},
                common_http_protocol_options={"idle_timeout": _IDLE},
            )
        },
    )


_HEALTH_CHECK: Json = {
    # a busy node keeps a good server from answering for seconds; one that takes no connection is left out by its second request (`_OUTLIERS`)
    "timeout": "3s",
    "interval": "1s",
    "no_traffic_healthy_interval": "1s",
    # somebody waits for a server that comes up
    "unhealthy_interval": "0.2s",
    "no_traffic_interval": "0.2s",
    "interval_jitter_percent": 10,
    "unhealthy_threshold": 3,
    "healthy_threshold": 1,
    "reuse_connection": True,
}
_PANIC: Json = {"healthy_panic_threshold": {"value": 1}}
"""Below this per cent of healthy servers all get requests: none is healthy, and no other revision is.

A node without processor time lets all checks time out, those of healthy servers as well. A canary without healthy servers falls back to stable before that.
"""
_OUTLIERS: Json = {
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 2,
    "enforcing_consecutive_local_origin_failure": 100,
    # an answer of the model, a 5xx among them, is the business of the roll-out's gates and never ejects
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "5s",
    "max_ejection_time": "30s",
    "max_ejection_percent": 100,
}


def _fallback_cluster(split: Split, revision: Revision) -> Json:
    """Return the cluster of a revision while it has a healthy endpoint, else of stable: without a word from the operator."""
    return message(
        _CLUSTER,
        name=target_cluster_name(split, revision),
        metadata=_metadata(split, revision),
        connect_timeout=_CONNECT_TIMEOUT,
        lb_policy="CLUSTER_PROVIDED",
        common_lb_config=_PANIC,  # by default stable with a third of its servers would count as none
        circuit_breakers=_LIMITS,  # its own: the retries of a dead canary are counted here
        cluster_type=typed(
            "envoy.clusters.aggregate",
            "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
            clusters=[revision_cluster_name(split, revision), revision_cluster_name(split, split.stable)],
        ),
    )


def _metadata(split: Split, revision: Revision) -> Json:
    """Return what the access log knows of a revision: its name, and the hash that is its label in metrics."""
    return {"filter_metadata": {"tuneloop": {"revision": revision.name, "hash": split.hash_of(revision)}}}


def _comparator_cluster(split: Split, shadow: Shadow) -> Json:
    name = comparator_cluster_name(split)
    return message(
        _CLUSTER,
        name=name,
        cluster_type=_DNS,
        connect_timeout=_CONNECT_TIMEOUT,
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER,
        load_assignment=endpoints(name, tcp_address(shadow.host, shadow.port)),
        circuit_breakers=_COMPARATOR_LIMITS,
    )
