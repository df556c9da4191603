"""A pod's container as a process of this machine: start it, send SIGTERM, kill it with all its descendants."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tuneloop_cli.local.processes import launch, processes

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from tuneloop_cli.local.kubelet.pod_plan import ProcessPlan
    from tuneloop_cli.local.processes.processes import PodProcess
    from tuneloop_cli.local.processes.warm_trainer import ForkedProcess, WarmTrainer
    from tuneloop_cli.local.processes.watchdog import Watchdog


class Container:
    """A running container. Start it in the main thread: the kernel kills the process when the *thread* that started it ends."""

    def __init__(self, process: asyncio.subprocess.Process | ForkedProcess, record: PodProcess) -> None:
        self._process = process
        self._record = record

    @classmethod
    async def start(
        cls, plan: ProcessPlan, *, pod_uid: str, root: Path, cwd: Path, log: Path, warm: WarmTrainer | None
    ) -> Container:
        """Start the process and record its pid. Its output is appended to `log`, which only the user can read."""
        forked = None
        if warm is not None and warm.knows(plan.command):
            forked = await warm.start(plan.command, environment=plan.environment, cwd=cwd, log=log)
        process = forked or await _started(plan, cwd=cwd, log=log)
        return cls(process, processes.record(root, pod_uid=pod_uid, pid=process.pid))

    @property
    def record(self) -> PodProcess:
        """Its pid and start time."""
        return self._record

    async def ended(self) -> None:
        """Wait until the container's first process has ended."""
        await self._process.wait()

    async def end(self, *, grace_seconds: float, kill_now: asyncio.Event) -> None:
        """Send SIGTERM; return when the process has ended, the grace period is over, or `kill_now` is set."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await first_of(self.ended(), kill_now.wait(), seconds=grace_seconds)

    async def reap(self, *, root: Path, watchdog: Watchdog) -> int:
        """Kill every process of the pod that is left; return the exit code. It is 128 + signal for a process that was killed."""
        await asyncio.to_thread(processes.kill_all, [self._record])
        code = await self._process.wait()
        processes.forget(root, self._record.pod_uid)
        watchdog.release(self._record.pod_uid)
        return code if code >= 0 else 128 - code


async def _started(plan: ProcessPlan, *, cwd: Path, log: Path) -> asyncio.subprocess.Process:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launch.__file__, str(os.getpid())),
            *plan.command,
            env=plan.environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the session
        )
    finally:
        os.close(output)


async def first_of(*waits: Coroutine[Any, Any, object], seconds: float | None = None) -> None:
    """Return when the first of these is done or the time is over, and cancel the others. An error of a finished one is raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
