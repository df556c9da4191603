"""`up`: everything in the manifests until Ctrl-C, as a cluster would."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from tuneloop_cli.commands.load_arguments import manifests_in
from tuneloop_cli.commands.session_scope import Interrupts, either, session
from tuneloop_cli.views.progress import plain_line
from tuneloop_cli.views.values import at

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tuneloop_cli.local.session import LocalSession
    from tuneloop_operator.cluster import Manifest


def keep_up(files: list[Path], *, folder: Path, ranks: int | None) -> None:
    """Submit all manifests and tell what happens until Ctrl-C; jobs save a checkpoint then."""
    loaded = manifests_in(files)
    asyncio.run(_keep_up([each.manifest for each in loaded], folder=folder, ranks=ranks))


async def _keep_up(manifests: list[Manifest], *, folder: Path, ranks: int | None) -> None:
    interrupts = Interrupts()
    async with session(folder, ranks=ranks) as at_work:
        submitted = await at_work.submit(*manifests)
        for each in submitted:
            for line in each.overlay:
                print(f"{each.manifest['metadata']['name']}: {line}", flush=True)
        print(f"{len(submitted)} objects are kept running; Ctrl-C stops them", flush=True)
        await either(_tell_all(at_work, [each.manifest for each in submitted]), interrupts.first)
        print("saving checkpoints and stopping (Ctrl-C again stops at once)", flush=True)
        if not await either(at_work.suspend_all(), interrupts.second):
            await at_work.abort()


async def _tell_all(at_work: LocalSession, manifests: list[Manifest]) -> None:
    await asyncio.gather(*(_tell(at_work, manifest) for manifest in manifests))


async def _tell(at_work: LocalSession, manifest: Manifest) -> None:
    """Print a line at each change of phase or address."""
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    said = ""
    async with aclosing(_versions(at_work, manifest)) as versions:
        async for each in versions:
            phase = at(each, "status.phase")
            line = plain_line(each) if each["kind"] == "FineTuneJob" else f"{phase}  {at(each, 'status.url') or ''}"
            if phase and phase != said:
                said = phase
                print(f"{name}: {line}", flush=True)


async def _versions(at_work: LocalSession, manifest: Manifest) -> AsyncGenerator[Manifest, None]:
    metadata = manifest["metadata"]
    async with aclosing(at_work.watch(manifest["kind"], metadata["name"], namespace=metadata["namespace"])) as changes:
        async for each in changes:
            if each is not None:
                yield each
