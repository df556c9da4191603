"""The operator: store, queue and reconcile joined. Whoever watches the API server calls `see`; workers do the rest."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

from tuneloop_operator.cluster.owners import owner_of
from tuneloop_operator.controller.listing import Listing
from tuneloop_operator.controller.queue import Key, WorkQueue
from tuneloop_operator.controller.reconciler import Reconciler
from tuneloop_operator.controller.store import Store
from tuneloop_operator.errors import ClusterUnavailable, OperatorError
from tuneloop_operator.names import DEPLOYMENT_LABEL, JOB_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_operator.cluster import Cluster, Kind, Manifest
    from tuneloop_operator.cluster.pages import Page, Scope
    from tuneloop_operator.controller.reconciler import Tell
    from tuneloop_operator.settings.operator import OperatorSettings

_LOG = logging.getLogger(__name__)
_OURS: tuple[Kind, ...] = ("FineTuneJob", "ModelDeployment")


class Instruments(Protocol):
    """Is told how the work goes."""

    def taken(self, key: Key, *, waited: float) -> None:
        """The work on a key begins; it had been due for so many seconds."""

    def reconciled(self, key: Key, *, seconds: float, error: Exception | None) -> None:
        """The work on a key has ended."""


class _NoInstruments:
    def taken(self, key: Key, *, waited: float) -> None:
        pass

    def reconciled(self, key: Key, *, seconds: float, error: Exception | None) -> None:
        pass


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
        expected: Collection[Scope] = (),
        tell: Tell | None = None,
        instruments: Instruments | None = None,
    ) -> None:
        """`expected`: lists that must have been seen whole before anything is decided, so that no child looks lost that was not listed yet."""
        self.store = Store()
        self._queue = queue or WorkQueue()
        self._reconciler = Reconciler(cluster=cluster, store=self.store, settings=settings, clock=clock, tell=tell)
        self._workers = workers
        self._listing = Listing(expected)
        self._instruments = instruments or _NoInstruments()
        self._may_work = asyncio.Event()
        self._is_paused = False
        self._is_stopping = False
        self._open_or_close()

    def on_event(self, event_type: str | None, manifest: Manifest) -> None:
        """Take in a change: ADDED, MODIFIED, DELETED, or None for an object of the first list. Kind and apiVersion must stand in it."""
        if event_type == "DELETED":
            self.store.remove(manifest)
        else:
            self.store.put(manifest)
        self._enqueue(manifest)

    def on_list_page(self, page: Page) -> None:
        """Take in a page of a list; what a whole list shows to be gone is forgotten like something whose deletion was told."""
        for manifest in page.items:
            if self.store.put(manifest):
                self._enqueue(manifest)
        for manifest in self._listing.take(page, self.store):
            self.on_event("DELETED", manifest)
        self._open_or_close()

    def progress(self, namespace: str, name: str, message: ProgressMessage) -> bool:
        """Take in what a stage says; return whether it was news."""
        job = self.store.get("FineTuneJob", namespace=namespace, name=name)
        if job is None or not self.store.put_progress(job["metadata"]["uid"], message):
            return False
        self._queue.add(Key("FineTuneJob", namespace, name))
        return True

    def knows_job(self, namespace: str, name: str) -> bool:
        """Whether there is a FineTuneJob of this name."""
        return self.store.get("FineTuneJob", namespace=namespace, name=name) is not None

    @property
    def is_complete(self) -> bool:
        """Whether every expected list was seen to its end."""
        return self._listing.is_complete

    @property
    def depth(self) -> int:
        """How many objects are due and wait for a worker."""
        return self._queue.depth

    async def run(self) -> None:
        """Work until `stop` is called or the task is cancelled. Nothing is begun before the expected lists are in, or while paused."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    def pause(self) -> None:
        """Begin no further work; what is seen meanwhile waits."""
        self._is_paused = True
        self._open_or_close()

    def resume(self) -> None:
        """Look at every object anew, and go on."""
        for kind in _OURS:
            for manifest in list(self.store.of_kind(kind, namespace=None)):
                self._enqueue(manifest)
        self._is_paused = False
        self._open_or_close()

    def use(self, settings: OperatorSettings) -> None:
        """Decide by these settings from now on."""
        self._reconciler.settings = settings

    def stop(self) -> None:
        """Let `run` return once every worker has finished what it is doing."""
        self._queue.close()
        self._is_stopping = True
        self._open_or_close()

    async def idle(self) -> None:
        """Return once nothing is left to do now; what was put off until later may be left."""
        await self._queue.idle()

    def _open_or_close(self) -> None:
        if self._is_stopping or (self._listing.is_complete and not self._is_paused):
            self._may_work.set()
        else:
            self._may_work.clear()

    async def _work(self) -> None:
        while True:
            await self._may_work.wait()
            if (key := await self._queue.get()) is None:
                return
            if not self._may_work.is_set():  # it was closed while this worker waited for a key
                self._queue.done(key, requeue_after=0.0)
                continue
            await self._reconcile(key)

    async def _reconcile(self, key: Key) -> None:
        self._instruments.taken(key, waited=self._queue.waited(key))
        begun = time.monotonic()
        failure: Exception | None = None
        try:
            requeue_after = await self._reconciler.reconcile(key)
        except OperatorError as error:
            failure = error
            asked = error.retry_after if isinstance(error, ClusterUnavailable) else 0.0
            wait = self._queue.failed(key, at_least=asked)
            _LOG.warning("%s %s/%s: %s; again in %.1f s", *key, error or type(error).__name__, wait)
        except Exception as error:  # noqa: BLE001  (a defect in one object's course must not stop the others)
            failure = error
            wait = self._queue.failed(key)
            _LOG.exception("%s %s/%s: unexpected error; again in %.1f s", *key, wait)
        else:
            self._queue.done(key, requeue_after=requeue_after)
        self._instruments.reconciled(key, seconds=time.monotonic() - begun, error=failure)

    def _enqueue(self, manifest: Manifest) -> None:
        for key in self._keys(manifest):
            self._queue.add(key)

    def _keys(self, manifest: Manifest) -> Iterator[Key]:
        kind, metadata = manifest["kind"], manifest["metadata"]
        namespace, labels = metadata["namespace"], metadata.get("labels") or {}
        if kind in _OURS:
            yield Key(kind, namespace, metadata["name"])
        elif JOB_LABEL in labels:
            yield Key("FineTuneJob", namespace, labels[JOB_LABEL])
        elif DEPLOYMENT_LABEL in labels:
            yield Key("ModelDeployment", namespace, labels[DEPLOYMENT_LABEL])
        elif (owner := owner_of(manifest)) is not None and owner["kind"] in _OURS:  # somebody took our label off
            yield Key(owner["kind"], namespace, owner["name"])
        if kind == "FineTuneJob":
            for deployment in self.store.serving(metadata["name"], namespace=namespace):
                yield Key("ModelDeployment", namespace, deployment["metadata"]["name"])
