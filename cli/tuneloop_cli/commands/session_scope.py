"""The scope of a local session in a command: known errors become messages, Ctrl-C becomes an event."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.errors import ClaimMissing, FolderInUse, FolderUnusable, LocalError, NotAccepted, PortInUse
from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
    from pathlib import Path

    from tuneloop_operator.cluster import Manifest


class Interrupts:
    """Events for the first and the second Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._interrupt)

    def _interrupt(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


@asynccontextmanager
async def session_scope(folder: Path, *, ranks: int | None = None, port: int = 0) -> AsyncIterator[LocalSession]:
    """Enter a session. An error that the user can correct ends the command with one message."""
    try:
        async with LocalSession(folder, ranks=ranks, serve_port=port) as session:
            yield session
    except (FolderInUse, PortInUse) as error:
        raise TuneloopExit(Exit.IN_USE, str(error)) from error
    except (ClaimMissing, FolderUnusable, NotAccepted) as error:
        raise TuneloopExit(Exit.BAD_INPUT, str(error)) from error
    except LocalError as error:
        raise TuneloopExit(Exit.FAILED, str(error)) from error


async def versions_of(session: LocalSession, manifest: Manifest) -> AsyncGenerator[Manifest, None]:
    """Yield the object now and after each change, as long as it exists."""
    metadata = manifest["metadata"]
    async with aclosing(session.watch(manifest["kind"], metadata["name"], namespace=metadata["namespace"])) as versions:
        async for version in versions:
            if version is not None:
                yield version


async def finishes_before(event: asyncio.Event, work: Coroutine[Any, Any, Any]) -> bool:
    """Run the work; return True once it is done. If the event is set first, cancel the work and return False."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)
