"""`serve`: one ModelDeployment until Ctrl-C."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from tuneloop_cli.commands.load_arguments import the_only
from tuneloop_cli.commands.session_scope import Interrupts, either, session
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.views.values import at

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.local.session import LocalSession
    from tuneloop_operator.cluster import Manifest


def serve_deployment(files: list[Path], *, folder: Path, port: int) -> None:
    """Serve until Ctrl-C; ends with an error when the model cannot be served at all."""
    loaded = the_only("ModelDeployment", files, command="serve")
    asyncio.run(_serve(loaded.manifest, folder=folder, port=port))


async def _serve(manifest: Manifest, *, folder: Path, port: int) -> None:
    interrupts = Interrupts()
    async with session(folder, port=port) as at_work:
        (submitted,) = await at_work.submit(manifest)
        if await either(_until_ready(at_work, submitted.manifest), interrupts.first):
            await interrupts.first.wait()
        print("stopping; requests in flight are finished", flush=True)


async def _until_ready(at_work: LocalSession, deployment: Manifest) -> None:
    """Return once the server answers. Raises TuneloopExit when it never will."""
    metadata = deployment["metadata"]
    said = ""
    async with aclosing(at_work.watch("ModelDeployment", metadata["name"], namespace=metadata["namespace"])) as changes:
        async for each in changes:
            if each is None or _is_old(each):
                continue
            demand_a_future(each)
            if condition(each, "Ready").get("status") == "True":
                print(f"{metadata['name']} answers at {at(each, 'status.url')}", flush=True)
                return
            message = condition(each, "Ready").get("message", "")
            if message and message != said:
                said = message
                print(message, flush=True)


def demand_a_future(deployment: Manifest) -> None:
    """Raise TuneloopExit if this deployment cannot become ready by waiting."""
    accepted, available, ready = (condition(deployment, name) for name in ("Accepted", "ModelAvailable", "Ready"))
    if accepted.get("status") == "False":
        raise TuneloopExit(Exit.BAD_INPUT, accepted["message"])
    if available.get("status") == "False":
        raise TuneloopExit(Exit.FAILED, f"{available['message']}. First: tuneloop run -f JOB.yaml")
    if ready.get("status") == "False" and ready["message"].startswith("ServerEnded: "):
        raise TuneloopExit(Exit.FAILED, ready["message"].removeprefix("ServerEnded: "))


def condition(manifest: Manifest, type_: str) -> Manifest:
    """Return one condition of the status, or an empty one."""
    found: Manifest = next((each for each in at(manifest, "status.conditions") or [] if each["type"] == type_), {})
    return found


def _is_old(deployment: Manifest) -> bool:
    """Whether the status speaks of an earlier session: the operator has not looked at this generation, or at any pod of ours."""
    return bool(at(deployment, "status.observedGeneration") != deployment["metadata"].get("generation"))
