"""The kubelet's part: every Pod object of the folder runs as a process of this machine."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from tuneloop_cli.local.cluster.pod_objects import is_deleted, is_terminal
from tuneloop_cli.local.kubelet.pod_run import PodRun

if TYPE_CHECKING:
    from tuneloop_cli.local.cluster.cluster import EventType
    from tuneloop_cli.local.kubelet.pod_run import Machine
    from tuneloop_operator.cluster import Manifest


class Agent:
    """Runs the pods of one session. Must live in a loop of the main thread."""

    def __init__(self, machine: Machine, tasks: asyncio.TaskGroup) -> None:
        self._machine = machine
        self._tasks = tasks
        self._runs: dict[str, PodRun] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._closing = False

    def on_event(self, event: EventType, manifest: Manifest) -> None:
        """Take notice of a change of any object."""
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
        """End every pod because the session ends, with its grace period or at once, and wait for it."""
        self._closing = True
        for run in self._runs.values():
            run.session_closing.set()
            run.stop.set()
            if not grace:
                run.kill_now.set()
        await asyncio.gather(*self._ends, return_exceptions=True)  # their group tells what they raise

    def _start(self, pod: Manifest) -> None:
        metadata = pod["metadata"]
        run = PodRun(machine=self._machine, namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        self._runs[run.uid] = run
        task = self._tasks.create_task(self._attend(run))
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def _attend(self, run: PodRun) -> None:
        try:
            await run.run()
        finally:
            del self._runs[run.uid]
