"""A local session as the commands use it: known errors become messages, Ctrl-C becomes events."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.errors import ClaimMissing, FolderInUse, FolderUnusable, LocalError, NotAccepted, PortInUse
from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path


class Interrupts:
    """Counts Ctrl-C and SIGTERM."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._interrupt)

    def _interrupt(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


@asynccontextmanager
async def session(folder: Path, *, ranks: int | None = None, port: int = 0) -> AsyncIterator[LocalSession]:
    """Enter a session; what a user can mend ends the command with one message."""
    try:
        async with LocalSession(folder, ranks=ranks, serve_port=port) as entered:
            yield entered
    except (FolderInUse, PortInUse) as error:
        raise TuneloopExit(Exit.IN_USE, str(error)) from error
    except (ClaimMissing, FolderUnusable, NotAccepted) as error:
        raise TuneloopExit(Exit.BAD_INPUT, str(error)) from error
    except LocalError as error:
        raise TuneloopExit(Exit.FAILED, str(error)) from error


async def either(work: Coroutine[Any, Any, Any], event: asyncio.Event) -> bool:
    """Do the work until it is done (True) or the event comes first (False, the work is cancelled)."""
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
