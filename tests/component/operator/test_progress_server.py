"""The progress server's answers, over a real socket."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from tuneloop_api.contract.progress import ProgressMessage, progress_path
from tuneloop_operator.progress import server as under_test
from tuneloop_operator.progress.server import Identity, LocalAuthenticator, ProgressServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MESSAGE = {"version": 1, "stage": "train", "attempt": 1, "sequence": 1, "sentAt": "2026-01-01T00:00:00Z"}
TOKEN = "s3cret"


class Stranger:
    """Knows the token, but as somebody else's."""

    async def authenticate(self, token: str, *, namespace: str, name: str) -> Identity | None:
        return Identity(name="pod other-0", may_report=False)


def answer(
    body: bytes | AsyncIterator[bytes], *, token: str | None = TOKEN, name: str = "reviews", authenticator: Any = None
) -> tuple[int, Any]:
    """Post to a server that knows attempt 1 of the job `reviews`; return status and answer."""

    async def post() -> tuple[int, Any]:
        server = ProgressServer(
            authenticator=authenticator or LocalAuthenticator(TOKEN),
            knows_job=lambda namespace, job: (namespace, job) == ("team-a", "reviews"),
            on_progress=lambda _namespace, _name, message: message.attempt >= 1,
        )
        runner = web.AppRunner(server.application())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{port}{progress_path('team-a', name)}"
        try:
            async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as reply:
                return reply.status, await reply.json()
        finally:
            await runner.cleanup()

    return asyncio.run(post())


def body(**fields: Any) -> bytes:
    return json.dumps(MESSAGE | fields).encode()


def test_a_message_is_taken() -> None:
    assert answer(body()) == (202, {})


def test_a_message_of_an_old_attempt_is_dropped_and_the_answer_says_so() -> None:
    assert answer(body(attempt=0)) == (202, {"dropped": "a newer message, stage or attempt is known"})


@pytest.mark.parametrize("token", [None, "", "wrong", "s3creT"])
def test_without_the_token_nothing_is_taken(token: str | None) -> None:
    assert answer(body(), token=token)[0] == 401


def test_a_pod_of_another_job_may_not_report() -> None:
    status, reply = answer(body(), authenticator=Stranger())
    assert status == 403
    assert reply["error"] == "pod other-0 is no pod of FineTuneJob team-a/reviews"


def test_a_job_that_is_not_there_is_named() -> None:
    assert answer(body(), name="gone") == (404, {"error": "there is no FineTuneJob team-a/gone"})


def test_a_body_that_is_too_large_is_not_read() -> None:
    assert answer(b" " * 70000)[0] == 413


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (b"", "message:"),
        (b"[]", "message:"),
        (b"{", "message:"),
        (body(stage="cook"), "stage:"),
        (body(step="3"), "step:"),
        (body(loss=float("nan")), "loss:"),
        (body(step=10**20), "step:"),
        (body(latest={"step": 1, "path": "/" * 5000}), "path:"),
        (body(sentAt="yesterday"), "Invalid isoformat"),
        (body(sentAt="2026-01-01T00:00:00"), "sentAt:"),
    ],
)
def test_a_message_that_is_none_is_refused_in_one_line(sent: bytes, named: str) -> None:
    status, reply = answer(sent)
    assert status == 422
    assert reply["error"].startswith(named), reply
    assert "\n" not in reply["error"]


def test_a_body_that_stalls_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_BODY_SECONDS", 0.2)

    async def stalling() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(2)

    assert answer(stalling()) == (408, {"error": "the message did not come within 0.2 s"})


def test_a_message_of_a_later_release_is_taken() -> None:
    finding = {"name": "FromTheFuture", "message": "m", "advice": "a"}
    assert answer(body(fromTheFuture={"more": 1}, findings=[finding]))[0] == 202


def test_a_message_with_a_metric_whose_name_is_too_long_for_the_status_is_taken() -> None:
    assert answer(body(step=1, evaluation={"name": "x" * 300, "value": 1.0}))[0] == 202


def test_the_message_is_what_was_sent() -> None:
    assert ProgressMessage.model_validate_json(body(step=3)).step == 3
