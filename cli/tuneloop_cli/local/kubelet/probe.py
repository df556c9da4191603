"""Runs the probes of a server pod as a kubelet does. Until the pod is ready the period is shorter, because a user waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from tuneloop_cli.local.processes.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STARTUP_POLL_SECONDS = 0.2


async def watch_probes(container: dict[str, Any], *, ports: Mapping[str, int], ready: Callable[[bool], None]) -> str:
    """Call `ready` whenever readiness may have changed. Return only when a probe demands a restart, with the reason.

    ports: of this machine, by the name of the container's port.
    """
    async with aiohttp.ClientSession() as http:
        if (startup := container.get("startupProbe")) and not await _starts_in_time(http, startup, ports=ports):
            return "startup probe failed"
        watching = asyncio.create_task(
            _watch_readiness(http, container.get("readinessProbe"), ports=ports, ready=ready)
        )
        try:
            return await _wait_until_dead(http, container.get("livenessProbe"), ports=ports)
        finally:
            watching.cancel()


async def _starts_in_time(http: aiohttp.ClientSession, probe: dict[str, Any], *, ports: Mapping[str, int]) -> bool:
    try:
        async with asyncio.timeout(probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10)):
            await _wait_until_good(http, probe, ports=ports)
    except TimeoutError:
        return False
    return True


async def _watch_readiness(
    http: aiohttp.ClientSession,
    probe: dict[str, Any] | None,
    *,
    ports: Mapping[str, int],
    ready: Callable[[bool], None],
) -> None:
    if probe is None:
        ready(True)
        return
    await _wait_until_good(http, probe, ports=ports)
    ready(True)
    misses = 0
    while True:
        await asyncio.sleep(probe.get("periodSeconds", 10))
        misses = 0 if await _responds(http, probe, ports=ports) else misses + 1
        ready(misses < probe.get("failureThreshold", 3))


async def _wait_until_dead(
    http: aiohttp.ClientSession, probe: dict[str, Any] | None, *, ports: Mapping[str, int]
) -> str:
    if probe is None:
        await asyncio.Event().wait()
        raise AssertionError("nothing sets this event")
    misses = 0
    while misses < probe.get("failureThreshold", 3):
        await asyncio.sleep(probe.get("periodSeconds", 10))
        misses = 0 if await _responds(http, probe, ports=ports) else misses + 1
    return "liveness probe failed"


async def _wait_until_good(http: aiohttp.ClientSession, probe: dict[str, Any], *, ports: Mapping[str, int]) -> None:
    while not await _responds(http, probe, ports=ports):  # noqa: ASYNC110  (the server sends no event)
        await asyncio.sleep(_STARTUP_POLL_SECONDS)


async def _responds(http: aiohttp.ClientSession, probe: dict[str, Any], *, ports: Mapping[str, int]) -> bool:
    url = f"http://{LOOPBACK}:{ports[probe['httpGet']['port']]}{probe['httpGet'].get('path', '/')}"
    timeout = aiohttp.ClientTimeout(total=probe.get("timeoutSeconds", 1))
    try:
        async with http.get(url, timeout=timeout) as reply:
            return bool(200 <= reply.status < 400)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
