"""A deployment `reviews` of a local session under a steady load of clients: `tell_under_load`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout_record import RolloutRecord, recording
from routed_sessions import is_routed, rejected_after, status_once, whole
from router_process import Answers, steady

from tuneloop_cli.commands.rollout import steer_rollout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workspace import Workspace

    from tuneloop_cli.local.session import LocalSession

REQUESTS_A_SECOND = 20
LIVE_TEXT = "a good film"
"""That every client asks about."""


@dataclass(frozen=True)
class Deployed:
    """The deployment of a session, its clients, and what became of its roll-outs."""

    session: LocalSession
    workspace: Workspace
    answers: Answers
    record: RolloutRecord

    async def offer(self, manifest: dict[str, Any]) -> None:
        """Offer a revision."""
        await self.session.submit(manifest)

    async def rejection_of(self, manifest: dict[str, Any]) -> tuple[str, str]:
        """Offer a revision; return it and why, once it is rejected."""
        found = await rejected_after(self.session, manifest)
        return found["revision"], found["message"]

    async def until(self, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Return the status once this holds for it."""
        return await status_once(self.session, holds)

    async def until_stable(self, *, beside: str) -> str:
        """Return the revision that is stable in place of this one."""
        status = await self.until(lambda status: status["stable"]["revision"] != beside)
        revision: str = status["stable"]["revision"]
        return revision

    async def steer(self, verb: str) -> None:
        """Give a command as a person does."""
        folder = self.workspace.path / ".tuneloop"
        await asyncio.to_thread(steer_rollout, verb, "reviews", folder=folder, wait=True)

    def has_answered(self, revision: str) -> bool:
        """Whether a client has met a revision."""
        return self.answers.revisions[f"reviews-{revision}"] > 0

    async def until_it_answers(self, revision: str) -> None:
        """Return once a client meets a revision from now on."""
        before = self.answers.revisions[f"reviews-{revision}"]
        async with asyncio.timeout(120):
            while self.answers.revisions[f"reviews-{revision}"] == before:  # noqa: ASYNC110  (clients send no event here)
                await asyncio.sleep(0.02)


Story = Callable[[Deployed, str], Awaitable[None]]


@asynccontextmanager
async def load(url: str) -> AsyncIterator[Answers]:
    """A steady load of clients."""
    answers, stop = Answers(), asyncio.Event()
    options = {"json": {"inputs": LIVE_TEXT}, "data": None}
    sending = asyncio.create_task(steady(url, answers, per_second=REQUESTS_A_SECOND, stop=stop, **options))
    try:
        yield answers
    finally:
        stop.set()
        await sending


def tell_under_load(workspace: Workspace, story: Story, *, first: dict[str, Any]) -> None:
    """Tell a story of this deployment from when its first revision, which the story is given, answers. No request of a client may be lost."""

    async def under_load(session: LocalSession) -> None:
        record = recording(session)
        await session.submit(first)
        status = await status_once(session, is_routed(session))
        async with load(status["url"]) as answers:
            await story(Deployed(session, workspace, answers, record), status["stable"]["revision"])
        assert answers.failed == 0, answers

    asyncio.run(whole(workspace, under_load))
