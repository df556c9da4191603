"""Local sessions with a deployment `reviews` behind a router, for stories of roll-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from required import skip_or_fail

from tuneloop_cli.local.session import LocalSession
from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workspace import Workspace

SECONDS = 420
"""A server that crashes four times starts five times, on a machine that may be busy."""
T = TypeVar("T")


def require_envoy() -> None:
    """Skip the test where there is no Envoy."""
    try:
        find_envoy(None)
    except CannotRun as error:
        skip_or_fail(str(error))


async def status_once(session: LocalSession, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return the status of the deployment once this holds for it."""
    found = await session.wait_for(
        "ModelDeployment", "reviews", until=lambda stored: bool(holds(stored.get("status", {}))), seconds=SECONDS
    )
    return found["status"]


async def rejected_after(session: LocalSession, offered: dict[str, Any]) -> dict[str, Any]:
    """Offer a revision; return what is remembered of it once it is rejected."""
    known = rejected_of(await status_once(session, bool))
    await session.submit(offered)
    is_over = {"RolledBack", "Aborted"}
    status = await status_once(
        session, lambda status: rejected_of(status) != known and status["rollout"]["phase"] in is_over
    )
    return rejected_of(status)[-1]


def rejected_of(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the revisions that are remembered as rejected, the last one at the end."""
    return (status.get("rollout") or {}).get("rejected") or []


def is_routed(session: LocalSession) -> Callable[[dict[str, Any]], bool]:
    """Whether the deployment is ready, and its address that of its router."""

    def holds(status: dict[str, Any]) -> bool:
        pods = session.node.cluster.all("Pod")
        routers = [pod for pod in pods if pod["metadata"]["labels"].get("tuneloop.dev/component") == "router"]
        addresses = [pod["metadata"]["annotations"].get("tuneloop.dev/local-url") for pod in routers]
        return status.get("phase") == "Ready" and status.get("url") in addresses

    return holds


async def whole(workspace: Workspace, story: Callable[[LocalSession], Awaitable[T]]) -> T:
    """Tell a story in a session of its own, and end all that it started."""
    async with LocalSession(workspace.path / ".tuneloop") as session:
        try:
            return await story(session)
        finally:
            await session.abort()
