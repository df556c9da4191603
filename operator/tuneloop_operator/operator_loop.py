"""The operator: store, queue and reconcile joined. Whoever watches the API server calls `see`; workers do the rest."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tuneloop_operator.desired.metadata import DEPLOYMENT_LABEL, JOB_LABEL
from tuneloop_operator.errors import OperatorError
from tuneloop_operator.reconcile.reconcile import Reconciler
from tuneloop_operator.store import Store
from tuneloop_operator.work_queue import Key, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tuneloop_api.progress import ProgressMessage
    from tuneloop_operator.cluster import Cluster, Manifest
    from tuneloop_operator.settings import OperatorSettings

_LOG = logging.getLogger(__name__)
_OURS = ("FineTuneJob", "ModelDeployment")


class Operator:
    """Reconciles every FineTuneJob and ModelDeployment that it is shown."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        settings: OperatorSettings,
        clock: Callable[[], datetime],
        workers: int = 8,
        queue: WorkQueue | None = None,
    ) -> None:
        self._store = Store()
        self._queue = queue or WorkQueue()
        self._reconciler = Reconciler(cluster=cluster, store=self._store, settings=settings, clock=clock)
        self._workers = workers

    def see(self, event_type: str | None, manifest: Manifest) -> None:
        """Take in a change: ADDED, MODIFIED, DELETED, or None for an object of the first list. Kind and apiVersion must stand in it."""
        if event_type == "DELETED":
            self._store.remove(manifest)
        else:
            self._store.put(manifest)
        for key in self._keys(manifest):
            self._queue.add(key)

    def progress(self, namespace: str, name: str, message: ProgressMessage) -> bool:
        """Take in what a stage says; return whether it was news."""
        job = self._store.get("FineTuneJob", namespace=namespace, name=name)
        if job is None or not self._store.put_progress(job["metadata"]["uid"], message):
            return False
        self._queue.add(Key("FineTuneJob", namespace, name))
        return True

    def knows_job(self, namespace: str, name: str) -> bool:
        """Whether there is a FineTuneJob of this name."""
        return self._store.get("FineTuneJob", namespace=namespace, name=name) is not None

    async def run(self) -> None:
        """Work until `stop` is called or the task is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    def stop(self) -> None:
        """Let `run` return once every worker has finished what it is doing."""
        self._queue.close()

    async def idle(self) -> None:
        """Return once nothing is left to do now; what was put off until later may be left."""
        await self._queue.idle()

    async def _work(self) -> None:
        while (key := await self._queue.get()) is not None:
            try:
                again_in = await self._reconciler.reconcile(key)
            except OperatorError as error:
                wait = self._queue.failed(key)
                _LOG.warning("%s %s/%s: %s; again in %.1f s", *key, error or type(error).__name__, wait)
            except Exception:  # noqa: BLE001  (a defect in one object's course must not stop the others)
                wait = self._queue.failed(key)
                _LOG.exception("%s %s/%s: unexpected error; again in %.1f s", *key, wait)
            else:
                self._queue.done(key, again_in=again_in)

    def _keys(self, manifest: Manifest) -> Iterator[Key]:
        kind, metadata = manifest["kind"], manifest["metadata"]
        namespace, labels = metadata["namespace"], metadata.get("labels") or {}
        if kind in _OURS:
            yield Key(kind, namespace, metadata["name"])
        elif JOB_LABEL in labels:
            yield Key("FineTuneJob", namespace, labels[JOB_LABEL])
        elif DEPLOYMENT_LABEL in labels:
            yield Key("ModelDeployment", namespace, labels[DEPLOYMENT_LABEL])
        if kind == "FineTuneJob":
            for deployment in self._store.of_kind("ModelDeployment", namespace=namespace):
                reference = deployment["spec"]["model"].get("fineTuneJobRef") or {}
                if reference.get("name") == metadata["name"]:
                    yield Key("ModelDeployment", namespace, deployment["metadata"]["name"])
