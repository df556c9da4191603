"""`run`: one FineTuneJob to its end, with a live view."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

from tuneloop_cli.commands.load_arguments import the_only
from tuneloop_cli.commands.session_scope import Interrupts, either, session
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.node import is_finished
from tuneloop_cli.local.submission import Submission
from tuneloop_cli.views.progress import live, plain_line
from tuneloop_cli.views.result import result
from tuneloop_cli.views.values import at, span

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from pathlib import Path

    from rich.console import RenderableType

    from tuneloop_cli.local.session import LocalSession, Submitted
    from tuneloop_operator.cluster import Manifest

REDRAWS_PER_SECOND = 4
PLAIN_LINE_SECONDS = 5.0


@dataclass
class _Followed:
    """The job, as it was seen last."""

    newest: Manifest


def run_job(files: list[Path], *, folder: Path, ranks: int | None, plain: bool) -> None:
    """Run the job; ends with exit code 0 only when it has succeeded."""
    loaded = the_only("FineTuneJob", files, command="run")
    console = Console(highlight=False, soft_wrap=True)
    show = _show_lines if plain or not console.is_terminal else _show_live
    code = asyncio.run(_run(loaded.manifest, folder=folder, ranks=ranks, show=show, console=console))
    raise TuneloopExit(code)


async def _run(
    manifest: Manifest,
    *,
    folder: Path,
    ranks: int | None,
    show: Callable[[LocalSession, _Followed, Console], Coroutine[Any, Any, None]],
    console: Console,
) -> Exit:
    interrupts = Interrupts()
    async with session(folder, ranks=ranks) as at_work:
        (submitted,) = await at_work.submit(manifest)
        _say_what_begins(submitted, console)
        followed = _Followed(submitted.manifest)
        if not await either(show(at_work, followed, console), interrupts.first):
            console.print("saving a checkpoint and stopping (Ctrl-C again stops at once)")
            if not await either(at_work.suspend_all(), interrupts.second):
                await at_work.abort()
        found = at_work.node.cluster.peek(
            kind="FineTuneJob", namespace=manifest["metadata"]["namespace"], name=manifest["metadata"]["name"]
        )
    job = found or followed.newest  # one that is over may be deleted by its ttlSecondsAfterFinished
    console.print(result(job), markup=False)
    if interrupts.first.is_set() and not is_finished(job):
        return Exit.INTERRUPTED
    return Exit.OK if at(job, "status.phase") == "Succeeded" else Exit.FAILED


def _say_what_begins(submitted: Submitted, console: Console) -> None:
    for line in submitted.overlay:
        console.print(line, markup=False)
    if submitted.action is Submission.STAY:
        console.print("nothing to do: this job has succeeded already", markup=False)
    elif submitted.action is Submission.CONTINUE:
        console.print("going on with the job as it was left", markup=False)


async def _show_lines(at_work: LocalSession, job: _Followed, console: Console) -> None:
    """Print a line at each change of phase, and at most one every few seconds besides."""
    phase, printed = None, 0.0
    async with aclosing(_changes(at_work, job)) as changes:
        async for each in changes:
            due = time.monotonic() - printed >= PLAIN_LINE_SECONDS
            if at(each, "status.phase") != phase or due or is_finished(each):
                phase, printed = at(each, "status.phase"), time.monotonic()
                console.print(plain_line(each), markup=False)
            if is_finished(each):
                return


async def _show_live(at_work: LocalSession, job: _Followed, console: Console) -> None:
    """Draw the state over and over until the job has ended."""
    began = time.monotonic()

    def block() -> RenderableType:
        return live(job.newest, elapsed=span(time.monotonic() - began))

    with Live(get_renderable=block, console=console, refresh_per_second=REDRAWS_PER_SECOND):
        async with aclosing(_changes(at_work, job)) as changes:
            async for each in changes:
                if is_finished(each):
                    return


async def _changes(at_work: LocalSession, job: _Followed) -> AsyncGenerator[Manifest, None]:
    metadata = job.newest["metadata"]
    async with aclosing(at_work.watch("FineTuneJob", metadata["name"], namespace=metadata["namespace"])) as changes:
        async for each in changes:
            if each is not None:
                job.newest = each
                yield each
