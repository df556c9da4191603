"""What must be there before the operator can work: an API server that answers, and our kinds."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import API_VERSION
from tuneloop_operator.cluster.resources import api_path, resource_of
from tuneloop_operator.cluster.transport import Request
from tuneloop_operator.errors import ClusterUnavailable, Refused

if TYPE_CHECKING:
    from tuneloop_operator.cluster.transport import Transport

_LOG = logging.getLogger(__name__)
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 10.0
_OURS = ("FineTuneJob", "ModelDeployment")


async def wait_until_ready(transport: Transport) -> None:
    """Return once the API server answers; ask again with growing waits for as long as it takes."""
    wait, said = _FIRST_WAIT_SECONDS, ""
    while (problem := await _problem(transport)) is not None:
        pause = max(problem.retry_after, wait * (1 - random.random() / 2))  # noqa: S311  (spreads the load, hides nothing)
        if str(problem) != said:
            said = str(problem)
            _LOG.warning("waiting for the API server: %s", said)
        await asyncio.sleep(pause)
        wait = min(wait * 2, _LONGEST_WAIT_SECONDS)


async def _problem(transport: Transport) -> ClusterUnavailable | None:
    """Return why the API server is not ready; being refused is an answer, too."""
    try:
        await transport.send(Request(verb="get", resource="readyz", path="/readyz", plain=True))
    except ClusterUnavailable as error:
        return error
    except Refused:
        return None
    return None


async def missing_kinds(transport: Transport) -> list[str]:
    """Return those of our kinds that the API server does not serve: their CRDs are not installed."""
    try:
        groups = await transport.send(Request(verb="get", resource="apis", path="/apis"))
    except Refused:
        return []  # who may not look learns it from the first list
    group, _, version = API_VERSION.partition("/")
    served = {one["name"]: {each["version"] for each in one["versions"]} for one in groups["groups"]}
    if version not in served.get(group, ()):
        return list(_OURS)
    found = await transport.send(Request(verb="get", resource="apis", path=api_path(API_VERSION)))
    plurals = {one["name"] for one in found["resources"]}
    return [kind for kind in _OURS if resource_of(kind).plural not in plurals]
