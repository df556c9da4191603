"""`up`: everything in the manifests until Ctrl-C, as a cluster would."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from tuneloop_cli.commands.load_arguments import manifests_in
from tuneloop_cli.commands.session_scope import Interrupts, finishes_before, session_scope, versions_of
from tuneloop_cli.terminal import say
from tuneloop_cli.views.kinds import view_of
from tuneloop_cli.views.serving import local_url
from tuneloop_cli.views.values import at

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.local.session import LocalSession
    from tuneloop_operator.cluster import Manifest


def keep_up(files: list[Path], *, folder: Path, ranks: int | None) -> None:
    """Submit all manifests and print changes until Ctrl-C; then every job saves a checkpoint and stops."""
    loaded = manifests_in(files)
    asyncio.run(_keep_up([manifest.manifest for manifest in loaded], folder=folder, ranks=ranks))


async def _keep_up(manifests: list[Manifest], *, folder: Path, ranks: int | None) -> None:
    interrupts = Interrupts()
    async with session_scope(folder, ranks=ranks) as session:
        submissions = await session.submit(*manifests)
        for submitted in submissions:
            for line in submitted.overlay:
                say(f"{submitted.manifest['metadata']['name']}: {line}")
        say(f"{len(submissions)} objects are kept running; Ctrl-C stops them")
        stored = [submitted.manifest for submitted in submissions]
        await finishes_before(interrupts.first, _print_all_changes(session, stored))
        say("saving checkpoints and stopping (Ctrl-C again stops at once)")
        if not await finishes_before(interrupts.second, session.suspend_all()):
            await session.abort()


async def _print_all_changes(session: LocalSession, manifests: list[Manifest]) -> None:
    await asyncio.gather(*(_print_changes(session, manifest) for manifest in manifests))


async def _print_changes(session: LocalSession, manifest: Manifest) -> None:
    """Print a line at each change of phase, and of what users of a deployment notice: its address, and the share of a new revision."""
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    printed: tuple[object, ...] = ()
    async with aclosing(versions_of(session, manifest)) as versions:
        async for version in versions:
            found = (at(version, "status.phase"), local_url(version), at(version, "status.rollout.share"))
            if found[0] and found != printed:
                printed = found
                say(f"{name}: {view_of(version).line(version)}")
