"""The kubelet of local mode: runs every Pod object of the folder as a process of this machine."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from tuneloop_cli.local.cluster.pod_objects import is_deleted, is_router, is_terminal
from tuneloop_cli.local.kubelet.pod_run import PodRun

if TYPE_CHECKING:
    from tuneloop_cli.local.cluster.cluster import EventType
    from tuneloop_cli.local.kubelet.pod_run import Machine
    from tuneloop_operator.cluster import Manifest


class Kubelet:
    """Runs the pods of one session. Its event loop must be that of the main thread."""

    def __init__(self, machine: Machine, tasks: asyncio.TaskGroup) -> None:
        self._machine = machine
        self._tasks = tasks
        self._runs: dict[str, PodRun] = {}
        self._ends: dict[PodRun, asyncio.Task[None]] = {}
        self._closing = False

    def on_event(self, event: EventType, manifest: Manifest) -> None:
        """Start, stop or clean up after a pod, as the change of an object asks."""
        if manifest["kind"] == "Job" and event == "DELETED":
            self._machine.ports.release(manifest["metadata"]["uid"])
        if manifest["kind"] != "Pod":
            return
        uid = manifest["metadata"]["uid"]
        if event == "DELETED":
            shutil.rmtree(self._machine.folders.pod(manifest), ignore_errors=True)
        elif is_deleted(manifest) and uid in self._runs:
            self._runs[uid].stop.set()
        elif not is_deleted(manifest) and not is_terminal(manifest) and uid not in self._runs and not self._closing:
            self._start(manifest)

    async def close(self, *, grace: bool) -> None:
        """Stop every pod because the session ends, and wait for their ends. Without `grace`, pods are killed at once.

        Routers end first: a server answers what they have still passed on.
        """
        self._closing = True
        if grace:
            await self._stop([run for run in self._runs.values() if run.is_router])
        await self._stop(list(self._runs.values()), kill_now=not grace)

    async def _stop(self, runs: list[PodRun], *, kill_now: bool = False) -> None:
        for run in runs:
            run.session_closing.set()
            run.stop.set()
            if kill_now:
                run.kill_now.set()
        ends = [self._ends[run] for run in runs]
        await asyncio.gather(*ends, return_exceptions=True)  # the task group raises their errors

    def _start(self, pod: Manifest) -> None:
        metadata = pod["metadata"]
        run = PodRun(
            machine=self._machine,
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            is_router=is_router(pod),
        )
        self._runs[run.uid] = run
        self._ends[run] = self._tasks.create_task(self._run_to_its_end(run))

    async def _run_to_its_end(self, run: PodRun) -> None:
        try:
            await run.run()
        finally:
            del self._runs[run.uid], self._ends[run]
