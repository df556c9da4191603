"""Takes series for the page out of a Prometheus that runs, or out of the data that the one of a local session has left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp

from demo_loop.queries import psi, psi_critical, with_names
from demo_loop.report import PSI, PSI_CRITICAL, WEIGHT
from demo_loop.series import from_reply
from tuneloop_cli.local.prometheus.local_prometheus import LocalPrometheus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STEP_SECONDS = 5
_ANSWER_SECONDS = 30.0


def page_queries(*, namespace: str, deployment: str, window: str) -> dict[str, str]:
    """Return the queries of the page by the names of their series. window: that drift is computed over, for example `2m`."""
    names = {"namespace": namespace, "deployment": deployment}
    weight = 'tuneloop_traffic_weight_ratio{namespace="{{namespace}}",deployment="{{deployment}}"}'
    queries = {PSI: psi(window), PSI_CRITICAL: psi_critical(window), WEIGHT: f"max by (revision) ({weight})"}
    return {name: with_names(query, names) for name, query in queries.items()}


async def fetched(address: str, queries: Mapping[str, str], *, begin: float, end: float) -> dict[str, Any]:
    """Return what Prometheus answers to each query from `begin` to `end`, seconds since 1970. Raises ValueError with what is wrong, aiohttp.ClientError."""
    replies = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS)) as http:
        for name, query in queries.items():
            form = {"query": query, "start": str(begin), "end": str(end), "step": str(STEP_SECONDS)}
            async with http.post(f"{address.rstrip('/')}/api/v1/query_range", data=form) as answer:
                replies[name] = await answer.json()
            from_reply(replies[name])
    return replies


async def kept(folder: Path, queries: Mapping[str, str], *, begin: float, end: float) -> dict[str, Any]:
    """Return what a session's Prometheus would have answered; `folder` is its own, `prometheus` in that of the session, which has ended. Raises NoPrometheus, ValueError."""
    async with LocalPrometheus(folder, say=print) as prometheus:
        return await fetched(prometheus.url, queries, begin=begin, end=end)


def store(replies: Mapping[str, Any], path: Path) -> None:
    """Write replies for `demo_loop.series.stored`."""
    path.write_text(json.dumps(replies), encoding="utf-8")
