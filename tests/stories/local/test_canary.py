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
from routed_sessions import is_routed, require_envoy, status_once, whole
from tiny_models import tiny_bert
from workspace import CLAIM, Workspace, deployment_manifest, processes_of, until

from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.local_story

SECONDS = 120
STEPS = [{"weight": 50, "pause": True}, {"weight": 100}]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    require_envoy()
    made = Workspace(tmp_path)
    for name, seed in (("first", 0), ("second", 1)):
        make_artifact(made.claim / name, tiny_bert(made.claim / "model"), seed=seed)
    return made


def manifest(artifact: str, *, command: str = "") -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        rollout={"strategy": "Canary", "steps": STEPS, "rollback": {"baking": "0s"}},
        feedback={},
    )
    made["metadata"] |= {"namespace": "default"}
    made["metadata"] |= {"annotations": {"tuneloop.dev/rollout": command}} if command else {}
    return made


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


def labelled(url: str, count: int) -> Counter[tuple[int, int]]:
    """Predict, and send back a label for each prediction, through the router: to either revision. Return how often each status and number of counted labels came."""
    found: Counter[tuple[int, int]] = Counter()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    kind = {"content-type": "application/json"}
    try:
        for _ in range(count):
            connection.request("POST", "/predict", json.dumps({"inputs": "a good film"}), kind)
            answer = connection.getresponse()
            label = json.load(answer)[0]["label"]
            body = json.dumps({"token": answer.getheader("x-tuneloop-feedback"), "label": label})
            connection.request("POST", "/v1/feedback", body, kind)
            answer = connection.getresponse()
            found[answer.status, json.load(answer)["counted"]] += 1
    finally:
        connection.close()
    return found


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
        assert await asyncio.to_thread(labelled, url, 20) == {(200, 1): 20}
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
