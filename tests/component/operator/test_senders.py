"""A pod may post progress of its own stage and attempt alone."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tuneloop_api.contract.progress import ProgressMessage, progress_path
from tuneloop_operator.progress.server import Identity, ProgressServer


class OnePod:
    """Knows every token as that of a pod of the second attempt."""

    async def authenticate(self, token: str, *, namespace: str, name: str) -> Identity:
        return Identity(name="pod reviews-a2-0", may_report=True, stage="train", attempt=2)


async def post(stage: str, attempt: int) -> tuple[int, list[ProgressMessage]]:
    """Return the status of the answer, and what was handed on."""
    taken: list[ProgressMessage] = []
    server = ProgressServer(
        authenticator=OnePod(),
        knows_job=lambda _namespace, _name: True,
        on_progress=lambda _namespace, _name, message: not taken.append(message),
    )
    runner = web.AppRunner(server.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}{progress_path('team-a', 'reviews')}"
    body: dict[str, Any] = {
        "version": 1,
        "stage": stage,
        "attempt": attempt,
        "sequence": 1,
        "sentAt": "2026-01-01T00:00:00Z",
    }
    try:
        headers = {"Authorization": "Bearer t"}
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as reply:
            return reply.status, taken
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("stage", "attempt", "status"), [("train", 2, 202), ("train", 1, 403), ("export", 2, 403)])
def test_a_pod_speaks_of_its_own_stage_and_attempt(stage: str, attempt: int, status: int) -> None:
    answer, taken = asyncio.run(post(stage, attempt))
    assert answer == status
    assert bool(taken) is (status == 202)
