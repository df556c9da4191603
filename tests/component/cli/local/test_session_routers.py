"""The port of a session at which routers ask for their split: holders of the token get each one that the operator wants."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from artifact import make_artifact
from required import skip_or_fail
from tiny_models import tiny_bert
from waiting import LEAST_SECONDS

from tuneloop_cli.local.session import LocalSession
from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def envoy() -> None:
    try:
        find_envoy(None)
    except CannotRun as error:
        skip_or_fail(str(error))


def deployment(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"model": {"uri": "pvc://demo/artifact"}, "rollout": {"strategy": "Canary"}} | spec,
    }


def follows(generation: int) -> Callable[[dict[str, Any]], bool]:
    """Whether the router has reported a generation, or one after it."""

    def holds(stored: dict[str, Any]) -> bool:
        routers = stored.get("status", {}).get("rollout", {}).get("routers", [])
        return any(
            router["name"].startswith("reviews-router-") and router.get("generation", 0) >= generation
            for router in routers
        )

    return holds


class Polls:
    """Asks as a router does."""

    def __init__(self, session: LocalSession, http: aiohttp.ClientSession) -> None:
        (found,) = [
            found for found in session.node.cluster.all("ConfigMap") if found["metadata"]["name"] == "reviews-router"
        ]
        self._url = json.loads(found["data"]["router.json"])["operator"]["url"]
        self._token = (session.node.folders.secrets / "token").read_text()
        self._http = http

    async def ask(self, in_force: int, *, token: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
        """Return status and document of a poll that may be held for 30 s."""
        sent = {"authorization": f"Bearer {token or self._token}"} | headers
        query = {"inForce": str(in_force), "hold": "30"}
        async with self._http.get(self._url, params=query, headers=sent) as answer:
            return answer.status, await answer.json() if answer.status == 200 else {}


def test_a_router_gets_each_split_that_is_wanted(tmp_path):
    async def story(session: LocalSession, http: aiohttp.ClientSession) -> None:
        await session.submit(deployment())
        # a router reports a split once it has found a server for it
        stored = await session.wait_for("ModelDeployment", "reviews", until=follows(2), seconds=LEAST_SECONDS)
        generation = stored["status"]["rollout"]["split"]["generation"]
        await session.submit(deployment(expose={"stickyHeader": "x-user"}))
        await session.wait_for("ModelDeployment", "reviews", until=follows(generation + 1), seconds=LEAST_SECONDS)
        polls = Polls(session, http)
        status, split = await polls.ask(1)
        assert (status, split["sticky"]["header"]) == (200, "x-user")
        assert (split["revisions"][0]["host"], split["revisions"][0]["port"] != 9) == ("127.0.0.1", True)
        assert (await polls.ask(1, token="another"))[0] == 401
        assert (await polls.ask(1, host="rebound.example"))[0] == 403

    async def whole() -> None:
        claim = tmp_path / "claims/demo"
        make_artifact(claim / "artifact", tiny_bert(claim / "model"))
        async with LocalSession(tmp_path) as session, aiohttp.ClientSession() as http:
            try:
                await story(session, http)
            finally:
                await session.abort()

    asyncio.run(whole())
