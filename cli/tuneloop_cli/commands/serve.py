"""`serve`: one ModelDeployment until Ctrl-C, with a line for each thing that users of it notice."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from tuneloop_cli.commands.load_arguments import only_manifest
from tuneloop_cli.commands.session_scope import Interrupts, finishes_before, session_scope, versions_of
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.routing import has_router, leads_to_router
from tuneloop_cli.terminal import say
from tuneloop_cli.views.serving import change_of, is_asleep, is_ready, local_url
from tuneloop_cli.views.values import at
from tuneloop_operator.decide.model_deployment.trouble import SERVER_ENDED

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.local.session import LocalSession
    from tuneloop_operator.cluster import Manifest


_A_RUN_HELPS = frozenset({"JobNotFound", "JobNotFinished", "JobFailed"})
"""Reasons of ModelAvailable=False."""
_ROUTER_SECONDS, _PAUSE_SECONDS = 10.0, 0.05


def serve_deployment(files: list[Path], *, folder: Path, port: int) -> None:
    """Serve until Ctrl-C. A model that cannot be served ends the command with an error."""
    loaded = only_manifest("ModelDeployment", files, command="serve")
    asyncio.run(_serve(loaded.manifest, folder=folder, port=port))


async def _serve(manifest: Manifest, *, folder: Path, port: int) -> None:
    interrupts = Interrupts()
    async with session_scope(folder, port=port) as session:
        (submitted,) = await session.submit(manifest)
        await finishes_before(interrupts.first, follow(session, submitted.manifest))
        say("stopping; requests in flight are finished")


async def follow(session: LocalSession, deployment: Manifest) -> None:
    """Print the address once somebody answers there, and what happens, until this is cancelled. Raises TuneloopExit if waiting cannot make the servers ready.

    With a router the servers of the old revision may answer there already, until the new one has its share.
    """
    printed: object = None
    is_announced = False
    async with aclosing(versions_of(session, deployment)) as versions:
        async for version in versions:
            if _is_stale(version):
                continue
            if not is_announced:
                require_can_become_ready(version)
                is_announced = _answers(version) and _has_address(session, version)
                if is_announced:
                    await _announce(version)
                if is_ready(version) and not is_asleep(version):
                    printed = change_of(version)  # the address says so, now or as soon as there is one
            if (change := change_of(version)) and change != printed:
                printed = change
                say(at(version, "status.conditions[Ready].message"))


async def _announce(deployment: Manifest) -> None:
    url = at(deployment, "status.url")
    if has_router(deployment):
        await _until_it_answers(url)
    say(f"{deployment['metadata']['name']} answers at {url}")


async def _until_it_answers(url: str) -> None:
    """Return once requests to this address reach a server: a router finds a server that has come up by asking it every now and then."""
    deadline = time.monotonic() + _ROUTER_SECONDS
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with http.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=1)) as reply:
                    if reply.status == HTTPStatus.OK:
                        return
            await asyncio.sleep(_PAUSE_SECONDS)


def _answers(deployment: Manifest) -> bool:
    """Whether requests are answered: by ready servers, or behind a router by those of the old revision, while a new one gets its share."""
    if is_ready(deployment):
        return not is_asleep(deployment)
    return has_router(deployment) and bool(at(deployment, "status.stable.readyReplicas"))


def _has_address(session: LocalSession, deployment: Manifest) -> bool:
    """Whether the status has the address that stays: that of the router, if there is one."""
    if not has_router(deployment):
        return local_url(deployment) is not None
    return leads_to_router(deployment, session.node.cluster.all("Pod", namespace=deployment["metadata"]["namespace"]))


def require_can_become_ready(deployment: Manifest) -> None:
    """Raise TuneloopExit for a deployment that waiting cannot make ready."""
    accepted, available, ready = (condition(deployment, name) for name in ("Accepted", "ModelAvailable", "Ready"))
    if accepted.get("status") == "False":
        raise TuneloopExit(Exit.BAD_INPUT, accepted["message"])
    if ready.get("status") == "False" and ready["reason"] in SERVER_ENDED:
        hint = at(deployment, "status.failure.hint")
        raise TuneloopExit(Exit.FAILED, f"{ready['message']}\nhint: {hint}" if hint else ready["message"])
    if available.get("status") == "False":
        advice = ". First: tuneloop run -f JOB.yaml" if available["reason"] in _A_RUN_HELPS else ""
        raise TuneloopExit(Exit.FAILED, f"{available['message']}{advice}")


def condition(manifest: Manifest, type_: str) -> Manifest:
    """Return the condition of this type, or an empty mapping."""
    conditions: list[Manifest] = at(manifest, "status.conditions") or []
    found: Manifest = next((condition for condition in conditions if condition["type"] == type_), {})
    return found


def _is_stale(deployment: Manifest) -> bool:
    """Whether the status is that of an earlier session: the operator has not observed this generation yet."""
    return bool(at(deployment, "status.observedGeneration") != deployment["metadata"].get("generation"))
