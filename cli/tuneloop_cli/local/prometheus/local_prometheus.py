"""LocalPrometheus: a Prometheus of the session, on loopback. It ends with the session, and its data lie in the session's folder.

async with LocalPrometheus(folder, say=print) as prometheus:
    prometheus.targets([Target(address="127.0.0.1:8000", namespace="default", deployment="reviews", revision="reviews-1a2b")])
    PrometheusDoor(Place(address=prometheus.url))
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Self

import aiohttp

from tuneloop_cli.local.cluster.object_files import replace_file
from tuneloop_cli.local.errors import NoPrometheus
from tuneloop_cli.local.processes import launch
from tuneloop_cli.local.processes.ports import LOOPBACK, Ports
from tuneloop_cli.local.prometheus.configuration import (
    CONFIGURATION,
    LOG,
    RULES,
    TARGETS,
    command,
    configuration_text,
    targets_text,
)
from tuneloop_cli.local.prometheus.program import cache_folder, find_program
from tuneloop_operator.metrics.recording_rules import recording_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from tuneloop_cli.local.prometheus.configuration import Target

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_NAMES_AN_ERROR = re.compile(r"\blevel=error\b", re.IGNORECASE)
"""After a panic, the last lines of the log are a stack."""


class LocalPrometheus:
    """One Prometheus, as an async context manager. Must be entered in the main thread: the program ends with the thread that starts it."""

    def __init__(
        self,
        folder: Path,
        *,
        say: Callable[[str], None],
        scrape_seconds: int = 5,
        cache: Path | None = None,
        rules: str | None = None,
        keeps_all: bool = False,
    ) -> None:
        """`folder`: for configuration, data and log; `say`: gets a sentence before something is fetched; `cache`: of fetched programs; `rules`: None: our recording rules; `keeps_all`: data of any age."""
        self._folder = folder
        self._scrape_seconds = scrape_seconds
        self._cache = cache
        self._rules = recording_rules() if rules is None else rules
        self._keeps_all = keeps_all
        self._say = say
        self._stack = AsyncExitStack()
        self._command: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""
        """Where it answers, once it is entered."""

    async def __aenter__(self) -> Self:
        """Find the program, start it, and wait until it answers. Raises NoPrometheus."""
        program = await asyncio.to_thread(find_program, self._cache or cache_folder(), say=self._say)
        async with AsyncExitStack() as stack:
            ports = Ports()
            stack.callback(ports.close)
            port = ports.reserve("prometheus")
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / RULES).write_text(self._rules)
            (self._folder / CONFIGURATION).write_text(configuration_text(scrape_seconds=self._scrape_seconds))
            self.targets(())
            self.url = f"http://{LOOPBACK}:{port}"
            self._command = command(str(program), port=port, keeps_all=self._keeps_all)
            stack.push_async_callback(self._stop)
            await self._start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the program. Its data stay."""
        await self._stack.aclose()

    def targets(self, targets: Iterable[Target]) -> None:
        """Replace what is scraped. Prometheus takes up to ten seconds to begin."""
        replace_file(self._folder / TARGETS, targets_text(targets).encode())

    async def start_again_if_ended(self) -> None:
        """Start it on its data and its address if it has ended, as one that the system killed for memory. Raises NoPrometheus."""
        if self._process is not None and self._process.returncode is not None:
            self._say(f"Prometheus ended ({self._process.returncode}) and is started again: {self._complaint()}")
            await self._start()

    async def _start(self) -> None:
        """Start it, and wait until it answers. Raises NoPrometheus."""
        with (self._folder / LOG).open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", launch.__file__, str(os.getpid())),
                *self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the session
            )
        await self._until_ready(self._process)

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        """Return once it answers queries. Raises NoPrometheus if it ends, or takes too long."""
        try:
            async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession(trust_env=False) as session:
                while not await _is_ready(session, self.url):
                    if process.returncode is not None:
                        raise NoPrometheus(
                            f"Prometheus ended as it started ({process.returncode}): {self._complaint()}"
                        )
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise NoPrometheus(f"Prometheus is not ready after {_START_SECONDS:g} s: {self._complaint()}") from None

    async def _stop(self) -> None:
        """Ask it to end, which writes its last samples, then kill it."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
        await process.wait()

    def _complaint(self) -> str:
        """Return the last line of the log that names an error, else the last line."""
        lines = (self._folder / LOG).read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if _NAMES_AN_ERROR.search(line)]
        return f"{(errors or lines or ['its log is empty'])[-1]} ({self._folder / LOG})"


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    with suppress(aiohttp.ClientError):
        async with session.get(f"{url}/-/ready") as response:
            return response.status == 200
    return False
