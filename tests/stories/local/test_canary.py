"""A canary on one machine: the operator's own roll-out, real model servers, and Envoy before them."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from artifact import make_artifact
from free_ports import free_port
from required import skip_or_fail
from tiny_models import tiny_bert
from workspace import CLAIM, Workspace, deployment_manifest, processes_of, until

from tuneloop_cli.local.session import LocalSession
from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.local_story

SECONDS = 120
STEPS = [{"weight": 50, "pause": True}, {"weight": 100}]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    try:
        find_envoy(None)
    except CannotRun as error:
        skip_or_fail(str(error))
    made = Workspace(tmp_path)
    for name, seed in (("first", 0), ("second", 1)):
        make_artifact(made.claim / name, tiny_bert(made.claim / "model"), seed=seed)
    return made


def manifest(artifact: str, *, command: str = "") -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        rollout={"strategy": "Canary", "steps": STEPS, "rollback": {"baking": "0s"}},
    )
    made["metadata"] |= {"namespace": "default"}
    made["metadata"] |= {"annotations": {"tuneloop.dev/rollout": command}} if command else {}
    return made


async def status_once(session: LocalSession, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the status of the deployment once this holds for it."""
    found = await session.wait_for(
        "ModelDeployment", "reviews", until=lambda stored: holds(stored.get("status", {})), seconds=SECONDS
    )
    return found["status"]


def is_routed(session: LocalSession) -> Callable[[dict[str, Any]], bool]:
    """Whether the deployment is ready, and its address that of its router."""

    def holds(status: dict[str, Any]) -> bool:
        pods = session.node.cluster.all("Pod")
        routers = [pod for pod in pods if pod["metadata"]["labels"].get("tuneloop.dev/component") == "router"]
        addresses = [pod["metadata"]["annotations"].get("tuneloop.dev/local-url") for pod in routers]
        return status.get("phase") == "Ready" and status.get("url") in addresses

    return holds


def ask(url: str, **headers: str) -> tuple[int, str]:
    """Ask for a prediction; return the status, and the revision that answered."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        body = json.dumps({"inputs": "a good film"})
        connection.request("POST", "/predict", body, {"content-type": "application/json"} | headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("x-tuneloop-revision", "").removeprefix("reviews-")
    finally:
        connection.close()


async def answers_of(url: str, count: int) -> Counter[tuple[int, str]]:
    """Return how often each status and revision came back."""
    return Counter([await asyncio.to_thread(ask, url) for _ in range(count)])


def test_a_canary_gets_half_of_the_requests_until_a_person_approves_and_the_next_session_begins_from_it(
    workspace: Workspace,
) -> None:
    async def story(session: LocalSession) -> str:
        await session.submit(manifest("first"))
        first = await status_once(session, is_routed(session))
        url, stable = first["url"], first["stable"]["revision"]
        assert await answers_of(url, 3) == {(200, stable): 3}
        await session.submit(manifest("second"))
        half = await status_once(session, lambda status: status["rollout"].get("phase") == "Paused")
        canary = half["canary"]["revision"]
        found = await answers_of(url, 60)
        assert set(found) == {(200, stable), (200, canary)}
        assert ask(url, host="rebound.example") == (403, "")
        assert (
            ask(url, **{"content-type": "text/plain"})[0] == 415
        )  # what a form of a web page can send: refused by the servers
        await session.submit(manifest("second", command="approve/1"))
        done = await status_once(session, lambda status: status["stable"]["revision"] == canary)
        assert done["url"] == url
        assert await answers_of(url, 10) == {(200, canary): 10}
        return canary

    canary = asyncio.run(whole(workspace, story))
    goes_back_in_the_next_session(workspace, stable=canary)


async def whole(workspace: Workspace, story: Callable[[LocalSession], Awaitable[str]]) -> str:
    async with LocalSession(workspace.path / ".tuneloop") as session:
        try:
            return await story(session)
        finally:
            await session.abort()


def goes_back_in_the_next_session(workspace: Workspace, *, stable: str) -> None:
    """The next session, of the command line, begins with the revision that was stable at the end of the one before."""
    workspace.write("deployment.yaml", manifest("first"))
    port, log = free_port(), workspace.path / "serve.log"
    server = workspace.start("serve", "-f", "deployment.yaml", "--port", str(port), log=log.name)
    try:
        until(lambda: "must approve" in log.read_text(), seconds=SECONDS, what="the first step", process=server)
        assert f"reviews answers at http://127.0.0.1:{port}\n" in log.read_text()
        found = asyncio.run(answers_of(f"http://127.0.0.1:{port}", 60))
        assert (len(found), (200, stable) in found, {status for status, _ in found}) == (2, True, {200})
        assert " 50% " in workspace.tuneloop("get", "mdep", "reviews").stdout
        assert "must approve" in workspace.tuneloop("describe", "mdep", "reviews").stdout
        assert '"router"' in workspace.tuneloop("logs", "reviews", "--stage", "router").stdout
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
    assert processes_of(workspace.path) == []
