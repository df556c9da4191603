"""`run`: runs one FineTuneJob to its end, with a live view."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.live import Live

from tuneloop_cli.commands.load_arguments import only_manifest
from tuneloop_cli.commands.session_scope import Interrupts, finishes_before, session_scope, versions_of
from tuneloop_cli.console import PrintableConsole
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.node import is_finished
from tuneloop_cli.local.submission import Submission
from tuneloop_cli.views.data_notes import data_notes
from tuneloop_cli.views.progress import live, plain_line
from tuneloop_cli.views.result import result
from tuneloop_cli.views.values import at, span

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from pathlib import Path

    from rich.console import Console, RenderableType

    from tuneloop_cli.local.session import LocalSession, Submitted
    from tuneloop_operator.cluster import Manifest

REDRAWS_PER_SECOND = 4
PLAIN_LINE_SECONDS = 5.0


@dataclass
class _FollowedJob:
    """The job, in the newest version that a watch returned."""

    newest: Manifest


def run_job(files: list[Path], *, folder: Path, ranks: int | None, plain: bool) -> None:
    """Run the job. Exit code 0 means that the job has succeeded."""
    loaded = only_manifest("FineTuneJob", files, command="run")
    console = PrintableConsole(soft_wrap=True)
    show = _show_lines if plain or not console.is_terminal else _show_live
    code = asyncio.run(_run(loaded.manifest, folder=folder, ranks=ranks, show=show, console=console))
    raise TuneloopExit(code)


async def _run(
    manifest: Manifest,
    *,
    folder: Path,
    ranks: int | None,
    show: Callable[[LocalSession, _FollowedJob, Console], Coroutine[Any, Any, None]],
    console: Console,
) -> Exit:
    interrupts = Interrupts()
    async with session_scope(folder, ranks=ranks) as session:
        (submitted,) = await session.submit(manifest)
        _print_start(submitted, console)
        followed = _FollowedJob(submitted.manifest)
        if not await finishes_before(interrupts.first, show(session, followed, console)):
            console.print("saving a checkpoint and stopping (Ctrl-C again stops at once)")
            if not await finishes_before(interrupts.second, session.suspend_all()):
                await session.abort()
        stored = session.node.cluster.peek(
            kind="FineTuneJob", namespace=manifest["metadata"]["namespace"], name=manifest["metadata"]["name"]
        )
    job = stored or followed.newest  # a finished job may be deleted already, by its ttlSecondsAfterFinished
    console.print(result(job))
    if interrupts.first.is_set() and not is_finished(job):
        return Exit.INTERRUPTED
    return Exit.OK if at(job, "status.phase") == "Succeeded" else Exit.FAILED


def _print_start(submitted: Submitted, console: Console) -> None:
    for line in submitted.overlay:
        console.print(line)
    if submitted.action is Submission.UNCHANGED:
        console.print("nothing to do: this job has succeeded already")
    elif submitted.action is Submission.CONTINUE:
        console.print("going on with the job as it was left")


async def _show_lines(session: LocalSession, job: _FollowedJob, console: Console) -> None:
    """Print a line at each change of phase, and otherwise at most one line every few seconds."""
    phase, printed = None, 0.0
    async with aclosing(_versions(session, job, console)) as versions:
        async for version in versions:
            due = time.monotonic() - printed >= PLAIN_LINE_SECONDS
            if at(version, "status.phase") != phase or due or is_finished(version):
                phase, printed = at(version, "status.phase"), time.monotonic()
                console.print(plain_line(version))
            if is_finished(version):
                return


async def _show_live(session: LocalSession, job: _FollowedJob, console: Console) -> None:
    """Redraw the state of the job until the job has ended."""
    began = time.monotonic()

    def block() -> RenderableType:
        return live(job.newest, elapsed=span(time.monotonic() - began))

    with Live(get_renderable=block, console=console, refresh_per_second=REDRAWS_PER_SECOND):
        async with aclosing(_versions(session, job, console)) as versions:
            async for version in versions:
                if is_finished(version):
                    return


async def _versions(session: LocalSession, job: _FollowedJob, console: Console) -> AsyncGenerator[Manifest, None]:
    """Yield the versions of the job, and keep the newest. The notes on its data are printed once, before the training begins."""
    noted: list[str] = []
    async with aclosing(versions_of(session, job.newest)) as versions:
        async for version in versions:
            job.newest = version
            notes = data_notes(version)
            for note in notes if notes != noted else ():
                console.print(note)
            noted = notes
            yield version
