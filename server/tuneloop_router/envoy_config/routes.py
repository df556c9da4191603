"""Routes: which revision gets a request, what is repeated, what is copied, and within which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.clusters import comparator_cluster_name, target_cluster_name
from tuneloop_router.envoy_config.hosts import virtual_hosts
from tuneloop_router.envoy_config.limits import filter_overrides, without_key
from tuneloop_router.envoy_config.typed import Json, message, percent, typed
from tuneloop_router.split import KEY_HEADERS, READYZ

if TYPE_CHECKING:
    from tuneloop_router.split import Shadow, Split, Sticky

ROUTES = "split"
"""The name under which the front asks for its routes."""
REVISION_HEADER = "x-tuneloop-revision"
RETRY_HEADER = "x-tuneloop-retry"
"""A server's answer 503 with this header may be repeated."""
FEEDBACK_PATH = "/v1/feedback"
_NOT_BEGUN = ("connect-failure", "refused-stream", "retriable-headers")
_DIED = "reset"
"""The server died before the first byte of its answer. A prediction of our own server changes nothing, so it may be made twice."""
_PROBE_PATHS = ("/healthz", READYZ)
REVISION = "%UPSTREAM_METADATA(tuneloop:revision)%"
"""Who was asked last, which after a fallback is not whom the weights chose. Empty if nobody was."""

_RETRY_PRIORITY = typed(
    "envoy.retry_priorities.previous_priorities",
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    update_frequency=1,
)
"""A retry goes to stable, not to another pod of a canary that dies."""


def routes(split: Split, *, hosts: tuple[str, ...] = ()) -> Json:
    """Return the file of routes. Its version is the generation of the split. hosts: the values of Host that are answered; empty: all."""
    own_host = bool(hosts)
    everybody = {"match": {"prefix": "/"}, "route": _action(split, sticky=None, own_host=own_host)}
    feedback = [] if split.only_once else [_feedback(everybody["route"], split)]
    sticky = [_sticky_route(split, split.sticky, own_host=own_host)] if split.sticky and split.is_divided else []
    probes = _probes(everybody["route"]) if split.limits.api_key else []
    name = f"generation-{split.generation}"  # with an equal body Envoy would keep the old version
    filters = filter_overrides(split.limits)
    return {
        "version_info": str(split.generation),
        "resources": [
            message(
                "envoy.config.route.v3.RouteConfiguration",
                name=ROUTES,
                virtual_hosts=virtual_hosts(
                    name, [*probes, *feedback, *sticky, everybody], hosts, typed_per_filter_config=filters
                ),
                request_headers_to_remove=[REVISION_HEADER],
                response_headers_to_remove=[RETRY_HEADER],
                response_headers_to_add=[
                    {
                        "header": {"key": REVISION_HEADER, "value": REVISION},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                        "keep_empty_value": False,
                    }
                ],
            )
        ],
    }


def _probes(action: Json) -> list[Json]:
    """Return the routes of the pages by which load balancers in front of the routers ask for the health: they have no key."""
    get = [{"name": ":method", "string_match": {"exact": "GET"}}]
    return [
        {"match": {"path": path, "headers": get}, "route": action, "typed_per_filter_config": without_key()}
        for path in _PROBE_PATHS
    ]


def _feedback(action: Json, split: Split) -> Json:
    """Return the route of feedback to our own server, which changes its counts: a server that broke may have counted it. Any revision takes it, so no user sticks."""
    retries = _retries(split, only_once=True)
    return {"match": {"path": FEEDBACK_PATH}, "route": action | {"retry_policy": retries}}


def _sticky_route(split: Split, sticky: Sticky, *, own_host: bool) -> Json:
    # an empty header would send all who have one to the same revision
    has_value = {
        "name": sticky.header,
        "string_match": {"exact": ""},
        "treat_missing_header_as_empty": True,
        "invert_match": True,
    }
    return {"match": {"prefix": "/", "headers": [has_value]}, "route": _action(split, sticky=sticky, own_host=own_host)}


def _action(split: Split, *, sticky: Sticky | None, own_host: bool) -> Json:
    """Return what becomes of a request. own_host: a revision or the comparator gets its own address as Host, not the client's value."""
    action: Json = {
        **_choice(split, sticky=sticky is not None),
        "timeout": "0s",  # a generation may take minutes; what is stuck ends by the idle time-out
        "idle_timeout": f"{split.limits.idle_seconds}s",
        "retry_policy": _retries(split, only_once=split.only_once),
    }
    if own_host:
        action["auto_host_rewrite"] = True
    if sticky:
        salted = {"pattern": {"regex": "^(.*)$"}, "substitution": f"{sticky.salt}:\\1"}
        action["hash_policy"] = [{"header": {"header_name": sticky.header, "regex_rewrite": salted}}]
    if split.shadow and split.shadow.percent:
        action["request_mirror_policies"] = [_mirror(split, split.shadow, own_host=own_host)]
    return action


def _choice(split: Split, *, sticky: bool) -> Json:
    """Return the choice of a revision: a hash modulo 100 against cumulative weights, in an order and with a sum that stay.

    So a user who is on a revision stays there while its weight grows, and all proxies agree. Without the hash it is a random number.
    A revision that is alone is not chosen: Envoy neither hashes nor draws.
    """
    if not split.is_divided:
        return {"cluster": target_cluster_name(split, split.stable)}
    chosen = [{"name": target_cluster_name(split, revision), "weight": revision.weight} for revision in split.revisions]
    return {"weighted_clusters": {"clusters": chosen, **({"use_hash_policy": True} if sticky else {})}}


def _retries(split: Split, *, only_once: bool) -> Json:
    """Return what is repeated. only_once: nothing that a server may have begun."""
    policy: Json = {
        # Never 5xx: an answer of the model is the business of the roll-out's gates.
        "retry_on": ",".join([*_NOT_BEGUN, *([] if only_once else [_DIED])]),
        "retriable_headers": [{"name": RETRY_HEADER, "present_match": True}],
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.1s"},
        "retry_host_predicate": [
            typed(
                "envoy.retry_host_predicates.previous_hosts",
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 3,
    }
    if split.is_divided:
        policy["retry_priority"] = _RETRY_PRIORITY
    if split.limits.per_try_idle_seconds is not None:
        policy["per_try_idle_timeout"] = f"{split.limits.per_try_idle_seconds}s"
    return policy


def _mirror(split: Split, shadow: Shadow, *, own_host: bool) -> Json:
    host = {"host_rewrite_literal": f"{shadow.host}:{shadow.port}"} if own_host else {}
    return {
        **host,
        "cluster": comparator_cluster_name(split),
        "runtime_fraction": percent(shadow.percent),
        "disable_shadow_host_suffix_append": True,
        "request_headers_mutations": [{"remove": name} for name in (*KEY_HEADERS, "cookie")],
    }
