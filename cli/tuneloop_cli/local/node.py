"""LocalNode: a folder with its objects, the controllers that act on them, and the agent that runs its pods. No operator yet.

A job or deployment of an earlier session is *held*: nobody hears of it or of what belongs to it until it is submitted again, or (a finished
job) referred to. So one command never goes on with the work of another.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from tuneloop_cli.local.cluster.cluster import LocalCluster
from tuneloop_cli.local.cluster.lock import writer_lock
from tuneloop_cli.local.cluster.object_files import KINDS
from tuneloop_cli.local.controllers.controllers import Controllers
from tuneloop_cli.local.errors import PortInUse, SessionFailed
from tuneloop_cli.local.kubelet.agent import Agent
from tuneloop_cli.local.kubelet.leftovers import forget_servers, write_off_pods
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_cli.local.kubelet.pod_run import Machine
from tuneloop_cli.local.processes import machine, ports, processes
from tuneloop_cli.local.processes.watchdog import Watchdog

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tuneloop_cli.local.cluster.cluster import EventType, Subscriber
    from tuneloop_operator.cluster import Kind, Manifest

_OURS: tuple[Kind, ...] = ("FineTuneJob", "ModelDeployment")


class LocalNode:
    """One folder at work, as an async context manager."""

    def __init__(self, directory: Path, *, serve_port: int = 0) -> None:
        self.folders = Folders(root=directory.resolve())
        self._serve_port = serve_port
        self._stack = AsyncExitStack()
        self._listeners: list[Subscriber] = []
        self._held: set[str] = set()

    async def __aenter__(self) -> Self:
        """Take the folder: end what an earlier session left running, then go on. Raises FolderInUse, PortInUse."""
        if threading.current_thread() is not threading.main_thread():
            raise SessionFailed(
                "local mode must run in the main thread: its processes end with the thread that starts them"
            )
        async with AsyncExitStack() as stack:
            root = self.folders.root
            stack.enter_context(writer_lock(root))
            await asyncio.to_thread(processes.end_survivors, root)
            _demand_port(self._serve_port)
            self.cluster = LocalCluster(root)
            reserved, watchdog = ports.Ports(), Watchdog()
            stack.callback(reserved.close)
            stack.callback(watchdog.close)
            write_off_pods(self.cluster, folders=self.folders)
            forget_servers(self.cluster)
            self._held = {each["metadata"]["uid"] for kind in _OURS for each in self.cluster.all(kind)}
            stack.callback(forget_servers, self.cluster)
            self.tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self._agent = Agent(self._machine(reserved, watchdog), self.tasks)
            self._controllers = Controllers(self.cluster)
            self.cluster.subscribe(self._dispatch)
            self._working = self.tasks.create_task(self._controllers.run())
            stack.push_async_callback(self.close, grace=True)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End every pod, then all the rest, and give the folder back."""
        try:
            return await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            first = _first(group)
            if first is error:  # nothing of ours: what the caller did inside raised it
                return False
            raise SessionFailed(f"a part of local mode failed: {type(first).__name__}: {first}") from first

    def listen(self, listener: Subscriber) -> None:
        """Call `listener(event type, object)` for each change of an object that is not held, and once for each that is there."""
        self._listeners.append(listener)
        for manifest in self._everything():
            if not self._is_held(manifest):
                listener("ADDED", manifest)

    def start(self) -> None:
        """Begin with what is there and not held."""
        for manifest in self._everything():
            self._tell_workers("ADDED", manifest)

    def release(self, uid: str) -> None:
        """Go on with a held object and all that belongs to it."""
        if uid not in self._held:
            return
        self._held.discard(uid)
        for manifest in self._everything():
            if self._root(manifest) == uid:
                self._dispatch("ADDED", manifest)

    async def close(self, *, grace: bool) -> None:
        """End every pod, with its grace period or at once. The controllers stop first: what is ended now is not to be replaced."""
        self._working.cancel()
        await self._agent.close(grace=grace)

    def active(self, kind: Kind) -> list[Manifest]:
        """Return the objects of a kind that are not held."""
        return [manifest for manifest in self.cluster.all(kind) if not self._is_held(manifest)]

    def is_there(self, manifest: Manifest) -> bool:
        """Whether this very object still exists."""
        metadata = manifest["metadata"]
        now = self.cluster.peek(kind=manifest["kind"], namespace=metadata["namespace"], name=metadata["name"])
        return now is not None and now["metadata"]["uid"] == metadata["uid"]

    def _machine(self, reserved: ports.Ports, watchdog: Watchdog) -> Machine:
        return Machine(
            cluster=self.cluster,
            folders=self.folders,
            ports=reserved,
            watchdog=watchdog,
            gpus=machine.gpus(),
            serve_port=self._serve_port,
        )

    def _everything(self) -> list[Manifest]:
        return [manifest for kind in KINDS for manifest in self.cluster.all(kind)]

    def _dispatch(self, event: EventType, manifest: Manifest) -> None:
        if self._is_held(manifest):
            return
        self._tell_workers(event, manifest)
        for listener in self._listeners:
            listener(event, manifest)

    def _tell_workers(self, event: EventType, manifest: Manifest) -> None:
        if not self._is_held(manifest):
            self._controllers.on_event(event, manifest)
            self._agent.on_event(event, manifest)

    def _is_held(self, manifest: Manifest) -> bool:
        return bool(self._held) and self._root(manifest) in self._held

    def _root(self, manifest: Manifest) -> str:
        """Return the uid of the object that this one belongs to in the end."""
        uid: str = manifest["metadata"]["uid"]
        for owner in manifest["metadata"].get("ownerReferences", ()):
            above = self.cluster.peek(
                kind=owner["kind"], namespace=manifest["metadata"]["namespace"], name=owner["name"]
            )
            return self._root(above) if above is not None else str(owner["uid"])
        return uid


def _demand_port(port: int) -> None:
    if port and not ports.is_free(port):
        raise PortInUse(f"port {port} of this machine is in use; choose another one, or 0 for a free one")


def is_finished(job: Manifest) -> bool:
    """Whether a FineTuneJob has come to its end."""
    return (job.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
