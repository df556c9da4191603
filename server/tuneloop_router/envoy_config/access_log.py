"""What is written down of each request: a line of JSON without query, body, key or header of the client, and counters by revision."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.routes import REVISION
from tuneloop_router.envoy_config.typed import Json, typed

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",  # without the query, which may carry a secret
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "revision": REVISION,
    "upstream": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "milliseconds": "%DURATION%",
    "first_byte_milliseconds": "%RESPONSE_DURATION%",
}


_VALUES = {
    "target": "%CLUSTER_METADATA(tuneloop:hash)%",
    "revision": "%UPSTREAM_METADATA(tuneloop:hash)%",
    "code": "%RESPONSE_CODE%",
}
_DURATION, _FIRST_BYTE = "%DURATION%", "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ms)%"
_ANSWERED = {
    "status_code_filter": {
        "comparison": {"op": "GE", "value": {"default_value": 100, "runtime_key": "tuneloop.first_byte"}}
    }
}
"""A client that leaves before the first byte has status 0."""
_SCOPE = {"prefix": "router", "enable_eviction": True}
"""What does not move between two sweeps (`stats_eviction_interval`) goes: the series of old revisions would stay as long as Envoy."""
ANSWERED = r"router\.requests_total\..*\.revision\.[^.]+\.code\.[1-5][0-9][0-9]"
"""Pattern of the names of counters of requests that had an answer. Envoy writes the labels into the name, one after another."""
_OF_REVISION = re.compile(r".*\.revision\.([^.]+)\.code\.[0-9]+")


def access_log(deployment: str) -> list[Json]:
    """Return the loggers of the front.

    Counters are our own, since a cluster that falls back counts the answers of stable as the canary's. Label `target` is the cluster that the
    weights chose, `revision` who was asked last; empty if nobody was. Times are in milliseconds, for Envoy's histograms hold whole numbers.
    """
    requests = {
        "stat": {"name": "requests_total", "tags": _tags(deployment, "target", "revision", "code")},
        "value_fixed": 1,
    }
    return [
        _stats("stats", counters=[requests], histograms=[_time(deployment, "duration_milliseconds", _DURATION)]),
        {
            **_stats("first-byte", histograms=[_time(deployment, "first_byte_milliseconds", _FIRST_BYTE)]),
            "filter": _ANSWERED,
        },
        typed("stdout", "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", log_format={"json_format": _LINE}),
    ]


def _stats(name: str, **fields: list[Json]) -> Json:
    return typed(name, "envoy.extensions.access_loggers.stats.v3.Config", stats_scope=_SCOPE, **fields)


def _time(deployment: str, name: str, value: str) -> Json:
    return {
        "stat": {"name": name, "tags": _tags(deployment, "revision")},
        "unit": "Milliseconds",
        "value_format": value,
    }


def _tags(deployment: str, *names: str) -> list[Json]:
    return [
        {"name": "deployment", "value_format": deployment},
        *({"name": n, "value_format": _VALUES[n]} for n in names),
    ]


def answered_by_revision(counters: Mapping[str, str]) -> dict[str, int]:
    """Return how many requests each revision, by its hash, has answered. counters: those whose names match `ANSWERED`.

    A request that was tried again counts once, for the revision that answered in the end.
    """
    answered: dict[str, int] = {}
    for name, value in counters.items():
        if found := _OF_REVISION.fullmatch(name):
            answered[found[1]] = answered.get(found[1], 0) + int(value)
    return answered
