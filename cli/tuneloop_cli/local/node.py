"""LocalNode: a cluster of one node in one folder: the stored objects, the controller manager, the kubelet. The operator is not part of it.

A job or deployment of an earlier session is *held*: its events, and those of the objects that it owns, reach no listener. A held object is
released when it is submitted again. A held job that has finished is also released when a submitted deployment refers to it. So a command
never continues the work of another command.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from tuneloop_cli.kinds import RESOURCES
from tuneloop_cli.local.cluster.cluster import LocalCluster
from tuneloop_cli.local.cluster.lock import writer_lock
from tuneloop_cli.local.cluster.object_files import KINDS
from tuneloop_cli.local.controllers.controller_manager import ControllerManager
from tuneloop_cli.local.errors import PortInUse, SessionFailed
from tuneloop_cli.local.kubelet.kubelet import Kubelet
from tuneloop_cli.local.kubelet.leftovers import clear_server_status, mark_pods_lost, remove_routers_and_comparators
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_cli.local.kubelet.pod_run import Machine
from tuneloop_cli.local.processes import machine, ports, processes, runtime_folders
from tuneloop_cli.local.processes.warm_trainer import WarmTrainer
from tuneloop_cli.local.processes.watchdog import Watchdog

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tuneloop_cli.local.cluster.cluster import EventType, Subscriber
    from tuneloop_operator.cluster import Kind, Manifest


class LocalNode:
    """The single node of one folder, as an async context manager."""

    def __init__(self, directory: Path, *, serve_port: int = 0) -> None:
        self.folders = Folders(root=directory.resolve())
        self._serve_port = serve_port
        self._stack = AsyncExitStack()
        self._listeners: list[Subscriber] = []
        self._held: set[str] = set()

    async def __aenter__(self) -> Self:
        """Lock the folder, kill the processes that an earlier session left, then start. Raises FolderInUse, PortInUse."""
        if threading.current_thread() is not threading.main_thread():
            raise SessionFailed(
                "local mode must run in the main thread: its processes end with the thread that starts them"
            )
        async with AsyncExitStack() as stack:
            root = self.folders.root
            stack.enter_context(writer_lock(root))
            await asyncio.to_thread(processes.kill_survivors, root)
            runtime_folders.remove_all(root)
            _require_free_port(self._serve_port)
            self.cluster = LocalCluster(root)
            reserved, watchdog, gpus = ports.Ports(), Watchdog(), machine.gpus()
            warm = None if gpus else WarmTrainer(home=root / "home")  # a process that has opened a GPU cannot be forked
            stack.callback(reserved.close)
            stack.callback(watchdog.close)
            if warm is not None:
                stack.push_async_callback(warm.close)
            await remove_routers_and_comparators(self.cluster)
            mark_pods_lost(self.cluster, folders=self.folders)
            clear_server_status(self.cluster)
            self._held = {manifest["metadata"]["uid"] for kind in RESOURCES for manifest in self.cluster.all(kind)}
            stack.callback(clear_server_status, self.cluster)
            self.tasks = await stack.enter_async_context(asyncio.TaskGroup())
            shared = Machine(
                cluster=self.cluster,
                folders=self.folders,
                ports=reserved,
                watchdog=watchdog,
                warm=warm,
                gpus=gpus,
                serve_port=self._serve_port,
            )
            self._kubelet = Kubelet(shared, self.tasks)
            self._controllers = ControllerManager(self.cluster)
            self.cluster.subscribe(self._dispatch)
            self._controllers_task = self.tasks.create_task(self._controllers.run())
            stack.push_async_callback(self.close, grace=True)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop every pod, then everything else, and unlock the folder."""
        try:
            return await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            first = _first(group)
            if first is error:  # the body of the `async with` raised it
                return False
            raise SessionFailed(f"a part of local mode failed: {type(first).__name__}: {first}") from first

    def listen(self, listener: Subscriber) -> None:
        """Call `listener(event type, object)` for each object that is there, and for each later change. Held objects are left out."""
        self._listeners.append(listener)
        for manifest in self._all_objects():
            if not self._is_held(manifest):
                listener("ADDED", manifest)

    def start(self) -> None:
        """Start the work on all stored objects that are not held."""
        for manifest in self._all_objects():
            self._notify_workers("ADDED", manifest)

    def release(self, uid: str) -> None:
        """Release a held object and all objects that it owns."""
        if uid not in self._held:
            return
        self._held.discard(uid)
        for manifest in self._all_objects():
            if self._top_owner_uid(manifest) == uid:
                self._dispatch("ADDED", manifest)

    async def close(self, *, grace: bool) -> None:
        """Stop every pod, with its grace period or at once. The controllers stop first, so that they replace no pod."""
        self._controllers_task.cancel()
        await self._kubelet.close(grace=grace)

    def active(self, kind: Kind) -> list[Manifest]:
        """Return the objects of a kind that are not held."""
        return [manifest for manifest in self.cluster.all(kind) if not self._is_held(manifest)]

    def exists(self, manifest: Manifest) -> bool:
        """Whether the object with this name still has this uid."""
        metadata = manifest["metadata"]
        stored = self.cluster.peek(kind=manifest["kind"], namespace=metadata["namespace"], name=metadata["name"])
        return stored is not None and stored["metadata"]["uid"] == metadata["uid"]

    def _all_objects(self) -> list[Manifest]:
        return [manifest for kind in KINDS for manifest in self.cluster.all(kind)]

    def _dispatch(self, event: EventType, manifest: Manifest) -> None:
        if self._is_held(manifest):
            return
        self._notify_workers(event, manifest)
        for listener in self._listeners:
            listener(event, manifest)

    def _notify_workers(self, event: EventType, manifest: Manifest) -> None:
        if not self._is_held(manifest):
            self._controllers.on_event(event, manifest)
            self._kubelet.on_event(event, manifest)

    def _is_held(self, manifest: Manifest) -> bool:
        return bool(self._held) and self._top_owner_uid(manifest) in self._held

    def _top_owner_uid(self, manifest: Manifest) -> str:
        """Return the uid of the topmost owner of an object; its own uid if it has no owner."""
        uid: str = manifest["metadata"]["uid"]
        for owner in manifest["metadata"].get("ownerReferences", ()):
            above = self.cluster.peek(
                kind=owner["kind"], namespace=manifest["metadata"]["namespace"], name=owner["name"]
            )
            return self._top_owner_uid(above) if above is not None else str(owner["uid"])
        return uid


def _require_free_port(port: int) -> None:
    if port and not ports.is_free(port):
        raise PortInUse(f"port {port} of this machine is in use; choose another port, or 0 for any free port")


def is_finished(job: Manifest) -> bool:
    """Whether a FineTuneJob has come to its end."""
    return (job.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
