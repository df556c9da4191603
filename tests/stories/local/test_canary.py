"""Good revisions on one machine: the operator's own roll-out, real model servers, the comparator, and Envoy before them."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.http
from bad_revisions import change_nothing_that_counts, write_changed, write_golden_set, write_good
from demo_rollout import Load
from free_ports import free_port
from huggingface_hub import InferenceClient, constants
from routed_sessions import SECONDS, is_routed, require_envoy, status_once, whole
from tiny_models import sentences, tiny_bert
from waiting import eventually
from workspace import CLAIM, Workspace, deployment_manifest, processes_of

from tuneloop_cli.local.cluster.object_files import ObjectFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tuneloop_cli.local.session import LocalSession

pytestmark = [pytest.mark.local_story, pytest.mark.timeout(900)]

TEXTS = [text for text, _ in sentences(60)]
REQUESTS_A_SECOND = 50
MIN_REQUESTS = 20
GOLDEN = {"name": "golden", "metric": "GoldenAccuracy", "margin": 0.3}
GATES = [
    {"name": "errors", "metric": "Errors", "margin": 0.4},
    {"name": "agreement", "metric": "Agreement", "margin": 0.45},
    GOLDEN,
]
"""With margins that `MIN_REQUESTS` can decide: `tuneloop validate` says which."""


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    require_envoy()
    made = Workspace(tmp_path)
    first = made.claim / "first"
    write_good(first, tiny_bert(made.claim / "model"), TEXTS)
    write_golden_set(made.claim / "golden.jsonl", first, TEXTS)
    write_changed(made.claim / "second", first, change_nothing_that_counts)
    return made


def manifest(artifact: str, **rollout: Any) -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        rollout={"strategy": "Canary", "rollback": {"baking": "0s"}} | rollout,
        evaluation={"goldenSet": {"uri": f"pvc://{CLAIM}/golden.jsonl"}},
        expose={"stickyHeader": "x-user"},
        feedback={},
    )
    made["metadata"] |= {"namespace": "default"}
    return made


def without_traffic(artifact: str, on_thin_traffic: str) -> dict[str, Any]:
    steps = [{"weight": 50, "minRequests": MIN_REQUESTS}, {"weight": 100}]
    return manifest(artifact, steps=steps, gates=[GOLDEN], onThinTraffic=on_thin_traffic)


def under_load(artifact: str) -> dict[str, Any]:
    steps = [{"weight": weight, "minRequests": MIN_REQUESTS, "pause": weight == 25} for weight in (5, 25, 100)]
    return manifest(artifact, steps=steps, gates=GATES, shadow={"percent": 20})


def test_a_good_revision_takes_over_without_traffic_and_under_load_with_a_persons_approval(
    workspace: Workspace,
) -> None:
    stable = asyncio.run(whole(workspace, takes_over_without_a_request))
    asyncio.run(takes_over_share_by_share(workspace, stable=stable))
    assert processes_of(workspace.path) == []


async def takes_over_without_a_request(session: LocalSession) -> str:
    """With Hold the roll-out waits for requests although its gate is content; with Replay the golden requests count. Return the new revision."""
    await session.submit(without_traffic("first", "Hold"))
    await status_once(session, is_routed(session))
    await session.submit(without_traffic("second", "Hold"))
    waiting = await status_once(session, lambda status: verdicts(status).get("golden") == "Pass")
    assert (waiting["rollout"]["phase"], waiting["rollout"]["step"]) == ("Progressing", 1)
    assert f"0 of {MIN_REQUESTS} requests" in message(waiting)
    revision: str = waiting["canary"]["revision"]
    await session.submit(without_traffic("second", "Replay"))
    await status_once(session, lambda status: status["stable"]["revision"] == revision)
    return revision


async def takes_over_share_by_share(workspace: Workspace, *, stable: str) -> None:
    """The next session, of the command line, begins with the revision that was stable at the end of the one before."""
    workspace.write("deployment.yaml", under_load("first"))
    port, log = free_port(), workspace.path / "serve.log"
    url = f"http://127.0.0.1:{port}"
    server = workspace.start("serve", "-f", "deployment.yaml", "--port", str(port), log=log.name)

    async def answers_here() -> bool:
        assert server.poll() is None, log.read_text()
        return f"reviews answers at {url}\n" in log.read_text()

    async def paused() -> bool:
        return rollout_of(workspace).get("phase") == "Paused"

    try:
        await eventually(answers_here, seconds=SECONDS, what="an address")
        async with users(url) as load, shares_of(workspace) as shares:
            await eventually(paused, seconds=SECONDS, what="the pause at 25 %")
            canary = rollout_of(workspace)["canary"]
            await asyncio.to_thread(is_shown_by_the_command_line, workspace)
            await refuses_what_a_web_page_can_send(url)
            assert await asyncio.to_thread(labelled, url, 20) == {(200, 1): 20}
            await asyncio.to_thread(answers_unmodified_clients, url)
            await asyncio.to_thread(approves_by_the_command_line, workspace, canary)
        assert load.failed == 0, load.answers
        assert set(load.moves) == {(f"reviews-{stable}", f"reviews-{canary}")}, "a user went back"
        assert shares == [5, 25, 100]
        assert (rollout_of(workspace)["stable"], rollout_of(workspace)["previous"]) == (canary, stable)
        assert ObjectFiles(workspace.path / ".tuneloop").read("Deployment", "default", f"reviews-{stable}")
        assert await answers_of(url, 3) == {(200, canary): 3}
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0


def is_shown_by_the_command_line(workspace: Workspace) -> None:
    """A person sees the share, what is waited for, and the numbers of each gate."""
    assert " 25% " in workspace.tuneloop("get", "mdep", "reviews").stdout
    described = " ".join(workspace.tuneloop("describe", "mdep", "reviews").stdout.split())
    assert "next: tuneloop rollout approve reviews, or abort" in described
    for shown in ("errors Pass: canary errors 0 %", "agreement Pass: canary disagreements 0 %", "golden Pass: canary"):
        assert f"gate: {shown}" in described
    assert '"router"' in workspace.tuneloop("logs", "reviews", "--stage", "router").stdout


def approves_by_the_command_line(workspace: Workspace, canary: str) -> None:
    """An approval is obeyed before the command ends; a second one finds nothing that waits."""
    approved = workspace.tuneloop("rollout", "approve", "reviews")
    assert approved.stdout.startswith(f"reviews: approve of {canary}: "), approved
    watched = workspace.tuneloop("rollout", "status", "reviews", "--watch")
    assert (watched.returncode, "phase:              Done" in watched.stdout) == (0, True), watched
    again = workspace.tuneloop("rollout", "approve", "reviews")
    assert (again.returncode, "approve does not fit: reviews has no revision on its way" in again.stderr) == (4, True)


def answers_unmodified_clients(url: str) -> None:
    """Clients of Hugging Face and Triton, with nothing set but the address of the router."""
    with patch.object(constants, "HF_HUB_OFFLINE", False):  # a server on loopback is no hub
        best = InferenceClient(url).text_classification("a good film")
    triton = tritonclient.http.InferenceServerClient(urlsplit(url).netloc)
    text = tritonclient.http.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array(["a good film"], dtype=object), binary_data=False)
    label = tritonclient.http.InferRequestedOutput("label", binary_data=False)
    answer = triton.infer("reviews", [text], outputs=[label], headers={"Content-Type": "application/json"})
    assert answer.as_numpy("label").tolist() == [best.label]
    triton.close()


async def refuses_what_a_web_page_can_send(url: str) -> None:
    assert await asyncio.to_thread(ask, url, host="rebound.example") == (403, "")
    assert (await asyncio.to_thread(ask, url, **{"content-type": "text/plain"}))[0] == 415


@asynccontextmanager
async def users(url: str) -> AsyncIterator[Load]:
    """A steady load of users, each with a header of its own."""
    load = Load(url, TEXTS, per_second=REQUESTS_A_SECOND)
    sending = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@asynccontextmanager
async def shares_of(workspace: Workspace) -> AsyncIterator[list[int]]:
    """The shares that a canary has had, in their order."""
    shares: list[int] = []

    async def note() -> None:
        while True:
            rollout = rollout_of(workspace)
            weights = {share["revision"]: share["weight"] for share in rollout.get("split", {}).get("weights", ())}
            weight = weights.get(rollout.get("canary") or "", 0)
            if weight and shares[-1:] != [weight]:
                shares.append(weight)
            await asyncio.sleep(0.05)

    noting = asyncio.create_task(note())
    try:
        yield shares
    finally:
        noting.cancel()


def rollout_of(workspace: Workspace) -> dict[str, Any]:
    """Return `status.rollout` as stored now."""
    stored = ObjectFiles(workspace.path / ".tuneloop").read("ModelDeployment", "default", "reviews")
    return ((stored or {}).get("status") or {}).get("rollout") or {}


def verdicts(status: dict[str, Any]) -> dict[str, str]:
    return {gate["name"]: gate["verdict"] for gate in (status.get("rollout") or {}).get("gates") or ()}


def message(status: dict[str, Any]) -> str:
    return next(found["message"] for found in status["conditions"] if found["type"] == "Ready")


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
