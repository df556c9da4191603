"""What the operator needs before it can work: an API server that answers, and the CRDs of our kinds."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import API_VERSION
from tuneloop_operator.cluster.resources import api_path, kinds_of, resource_of
from tuneloop_operator.cluster.transport import Request
from tuneloop_operator.errors import ClusterUnavailable, Refused

if TYPE_CHECKING:
    from tuneloop_operator.cluster.transport import Transport

_LOG = logging.getLogger(__name__)
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 10.0


async def wait_until_ready(transport: Transport) -> None:
    """Return once the API server answers. Ask again with growing waits for as long as it takes."""
    wait, logged = _FIRST_WAIT_SECONDS, ""
    while (problem := await _problem(transport)) is not None:
        pause = max(problem.retry_after, wait * (1 - random.random() / 2))  # noqa: S311  (spreads the load, hides nothing)
        if str(problem) != logged:
            logged = str(problem)
            _LOG.warning("waiting for the API server: %s", logged)
        await asyncio.sleep(pause)
        wait = min(wait * 2, _LONGEST_WAIT_SECONDS)


async def _problem(transport: Transport) -> ClusterUnavailable | None:
    """Return why the API server is not ready; None if it is. A refusal is an answer, too."""
    try:
        await transport.send(Request(verb="get", resource="readyz", path="/readyz", plain=True))
    except ClusterUnavailable as error:
        return error
    except Refused:
        return None
    return None


async def missing_kinds(transport: Transport) -> list[str]:
    """Return the kinds of ours whose CRDs are not installed."""
    try:
        groups = await transport.send(Request(verb="get", resource="apis", path="/apis"))
    except Refused:
        return []  # without the right to ask, the first list shows it
    group, _, version = API_VERSION.partition("/")
    served = {(found["name"], offered["version"]) for found in groups["groups"] for offered in found["versions"]}
    ours = kinds_of(API_VERSION)
    if (group, version) not in served:
        return ours
    answer = await transport.send(Request(verb="get", resource="apis", path=api_path(API_VERSION)))
    plurals = {resource["name"] for resource in answer["resources"]}
    return [kind for kind in ours if resource_of(kind).plural not in plurals]
