"""The operator: store, queue and reconciler joined. The watch reports events and lists; workers reconcile what they change."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, cast

from tuneloop_operator.cluster.owners import owner_of
from tuneloop_operator.controller.controllers import CONTROLLERS, new_store
from tuneloop_operator.controller.instruments import NoInstruments
from tuneloop_operator.controller.listing import Listing
from tuneloop_operator.controller.ownership import OnlyRelease
from tuneloop_operator.controller.queue import Key, Share, WorkQueue
from tuneloop_operator.controller.reconciler import Reconciler
from tuneloop_operator.controller.router_reports import News
from tuneloop_operator.controller.splits import Splits
from tuneloop_operator.decide.decision import Event
from tuneloop_operator.errors import ClusterUnavailable, OperatorError
from tuneloop_operator.names import NAMESPACE_LEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_api.contract.router import RouterSplit
    from tuneloop_operator.cluster import Cluster, Kind, Manifest
    from tuneloop_operator.cluster.pages import Page, Scope
    from tuneloop_operator.controller.controllers import Controller
    from tuneloop_operator.controller.instruments import Instruments
    from tuneloop_operator.controller.ownership import Ownership
    from tuneloop_operator.controller.reconciler import EventRecorder
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.gate_inputs import BaselineAnswer, ComparatorReply, QueryAnswer
    from tuneloop_operator.state.router_report import RouterReport

_LOG = logging.getLogger(__name__)
_COUNTS_SECONDS = 1.0
"""From new counts to the reconciliation: all that come meanwhile are one, however often they come."""


def share_of_one_namespace(workers: int) -> Share:
    """Return how many workers may reconcile objects of one namespace at the same time: a quarter, beside another namespace an eighth.

    With more, the flood of one tenant keeps the API server and the Job controller so busy that all others wait, and is hardly done sooner. And
    a namespace whose writes get no answer, as from a webhook that hangs, would in the end hold every worker.
    """
    return Share(alone=max(workers // 4, 1), beside=max(workers // 8, 1))


class Operator:
    """Reconciles every object that the watch reports and whose kind has a controller."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        settings: OperatorSettings,
        clock: Callable[[], datetime],
        workers: int = 8,
        queue: WorkQueue | None = None,
        expected: Collection[Scope] = (),
        events: EventRecorder | None = None,
        instruments: Instruments | None = None,
        ownership: Ownership | None = None,
        controllers: Mapping[str, Controller] = CONTROLLERS,
    ) -> None:
        """expected: lists that must be complete before anything is decided, so that no child seems lost that was not listed yet."""
        self.store = new_store(controllers)
        self._controllers = controllers
        self._queue = queue or WorkQueue(share=share_of_one_namespace(workers))
        self._reconciler = Reconciler(
            cluster=cluster, store=self.store, settings=settings, clock=clock, events=events, controllers=controllers
        )
        self._splits = Splits(self.store, settings=lambda: self._reconciler.settings)
        self._workers = workers
        self._listing = Listing(expected)
        self._instruments = instruments or NoInstruments()
        self._ownership = ownership or OnlyRelease()
        self._events = events
        self._may_work = asyncio.Event()
        self._is_paused = False
        self._is_stopping = False
        self._update_may_work()

    def on_event(self, event_type: str | None, manifest: Manifest) -> None:
        """Take in an event: ADDED, MODIFIED, DELETED, or None for an object of the first list. The object must hold kind and apiVersion."""
        if event_type == "DELETED":
            self.store.remove(manifest)
        else:
            self.store.put(manifest)
        self._enqueue(manifest)

    def on_list_page(self, page: Page) -> None:
        """Take in a page of a list. An object that a complete list no longer holds counts as deleted."""
        for manifest in page.items:
            if self.store.put(manifest):
                self._enqueue(manifest)
        for manifest in self._listing.take(page, self.store):
            self.on_event("DELETED", manifest)
        self._update_may_work()

    def progress(self, namespace: str, name: str, message: ProgressMessage) -> bool:
        """Take in a progress message of a stage; return whether it is newer than the stored one."""
        job = self.store.get("FineTuneJob", namespace=namespace, name=name)
        if job is None or not self.store.put_progress(job["metadata"]["uid"], message):
            return False
        self._queue.add(Key("FineTuneJob", namespace, name))
        return True

    def knows_job(self, namespace: str, name: str) -> bool:
        """Whether there is a FineTuneJob of this name."""
        return self.store.get("FineTuneJob", namespace=namespace, name=name) is not None

    def router_report(self, namespace: str, name: str, report: RouterReport) -> None:
        """Take in what a router of a deployment reports. The deployment is reconciled if it is anything new, for counts a little later."""
        deployment = self.store.get("ModelDeployment", namespace=namespace, name=name)
        if deployment is None:
            return
        news = self.store.put_router_report(deployment["metadata"]["uid"], report)
        if news:
            after = _COUNTS_SECONDS if news is News.COUNTS else 0.0
            self._queue.add(Key("ModelDeployment", namespace, name), after=after)

    def comparator_said(self, namespace: str, name: str, reply: ComparatorReply) -> None:
        """Take in what the comparator of a deployment says. The deployment is reconciled if it is anything new."""
        deployment = self.store.get("ModelDeployment", namespace=namespace, name=name)
        if deployment is not None and self.store.put_comparison(deployment["metadata"]["uid"], reply):
            self._queue.add(Key("ModelDeployment", namespace, name))

    def query_answered(self, manifest: Manifest, gate: str, answers: tuple[QueryAnswer, ...]) -> None:
        """Take in what Prometheus answered for a gate of a deployment, which is reconciled unless it is gone."""
        metadata = manifest["metadata"]
        stored = self.store.get("ModelDeployment", namespace=metadata["namespace"], name=metadata["name"])
        if stored is not None and stored["metadata"]["uid"] == metadata["uid"]:
            self.store.query_answers.put(metadata["uid"], gate, answers)
            self._queue.add(Key("ModelDeployment", metadata["namespace"], metadata["name"]))

    def baseline_answered(self, manifest: Manifest, answer: BaselineAnswer) -> None:
        """Take in what Prometheus answered about the baseline window of a deployment, which is reconciled unless it is gone."""
        metadata = manifest["metadata"]
        stored = self.store.get("ModelDeployment", namespace=metadata["namespace"], name=metadata["name"])
        if stored is not None and stored["metadata"]["uid"] == metadata["uid"]:
            self.store.query_answers.put_baseline(metadata["uid"], answer)
            self._queue.add(Key("ModelDeployment", metadata["namespace"], metadata["name"]))

    def split_of(self, namespace: str, name: str) -> RouterSplit | None:
        """Return the split that the stored status of a deployment wants; None if it is not there, cannot be read, or has no routers."""
        return self._splits.of(namespace, name)

    def on_split_change(self, notify: Callable[[str, str], None]) -> None:
        """Call `notify` with namespace and name of each deployment whose split may be another one. It must not wait or raise."""
        self._splits.listen(notify)

    @property
    def is_complete(self) -> bool:
        """Whether every expected list is complete."""
        return self._listing.is_complete

    @property
    def depth(self) -> int:
        """How many objects are due and wait for a worker."""
        return self._queue.depth

    async def run(self) -> None:
        """Work until `stop` is called or the task is cancelled. No work starts before the expected lists are complete, or while paused."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    def pause(self) -> None:
        """Start no further work. Objects that change meanwhile wait."""
        self._is_paused = True
        self._update_may_work()

    def resume(self) -> None:
        """Reconcile every object again, and go on."""
        for controller in self._controllers.values():
            for manifest in list(self.store.of_kind(controller.kind, namespace=None)):
                self._enqueue(manifest)
        self._is_paused = False
        self._update_may_work()

    def use(self, settings: OperatorSettings) -> None:
        """Decide with these settings from now on."""
        self._reconciler.settings = settings

    def stop(self) -> None:
        """Let `run` return once every worker has finished what it is doing."""
        self._queue.close()
        self._is_stopping = True
        self._update_may_work()

    def namespaces(self) -> set[str]:
        """Return the namespaces that hold objects of kinds that have a controller."""
        objects = (self.store.of_kind(controller.kind, namespace=None) for controller in self._controllers.values())
        return {manifest["metadata"]["namespace"] for manifests in objects for manifest in manifests}

    async def idle(self) -> None:
        """Return once no object is due. Objects that are due later may be left."""
        await self._queue.idle()

    def _update_may_work(self) -> None:
        if self._is_stopping or (self._listing.is_complete and not self._is_paused):
            self._may_work.set()
        else:
            self._may_work.clear()

    async def _work(self) -> None:
        while True:
            await self._may_work.wait()
            if (key := await self._queue.get()) is None:
                return
            if not self._may_work.is_set():  # work was paused while this worker waited for a key
                self._queue.done(key, requeue_after=0.0)
                continue
            await self._reconcile(key)

    async def _reconcile(self, key: Key) -> None:
        self._instruments.taken(waited=self._queue.waited(key))
        started = time.monotonic()
        failure: Exception | None = None
        try:
            requeue_after = await self._left_alone(key) or await self._reconciler.reconcile(key)
        except OperatorError as error:
            failure = error
            retry_after = error.retry_after if isinstance(error, ClusterUnavailable) else 0.0
            wait = self._queue.failed(key, at_least=retry_after)
            _LOG.warning("%s %s/%s: %s; again in %.1f s", *key, error or type(error).__name__, wait)
        except Exception as error:  # noqa: BLE001  (a defect that one object triggers must not stop the others)
            failure = error
            wait = self._queue.failed(key)
            _LOG.exception("%s %s/%s: unexpected error; again in %.1f s", *key, wait)
        else:
            self._queue.done(key, requeue_after=requeue_after)
        self._instruments.reconciled(key.kind, seconds=time.monotonic() - started, error=failure)

    async def _left_alone(self, key: Key) -> float:
        """Return 0 if this release may act on an object, else the seconds after which to ask again.

        An Event says so on an object that no release has acted on yet: somebody waits for it.
        """
        manifest = self.store.get(cast("Kind", key.kind), namespace=key.namespace, name=key.name)
        if manifest is None:
            return 0.0
        wait = await self._ownership.wait(key.namespace)
        if wait > 0 and not _is_known(manifest) and self._events is not None:
            await self._events.record(manifest, namespace_held(self._ownership.holder(key.namespace)))
        return wait

    def _enqueue(self, manifest: Manifest) -> None:
        for key in self._keys(manifest):
            self._queue.add(key)

    def _keys(self, manifest: Manifest) -> Iterator[Key]:
        """Yield the keys of the objects to reconcile after a change of this object: itself, its owner, objects that refer to it."""
        kind, metadata = manifest["kind"], manifest["metadata"]
        if kind in self._controllers:
            yield Key(kind, metadata["namespace"], metadata["name"])
        elif (owner := self.store.owner_key(manifest)) is not None:
            yield Key(*owner)
        elif (reference := owner_of(manifest) or {}).get("kind") in self._controllers:  # somebody removed our label
            yield Key(reference["kind"], metadata["namespace"], reference["name"])
        for other in self.store.referring(kind, metadata["name"], namespace=metadata["namespace"]):
            yield Key(other["kind"], metadata["namespace"], other["metadata"]["name"])


def _is_known(manifest: Manifest) -> bool:
    """Return whether a release has acted on an object. A new object has the default of the CRD in its status."""
    return bool({*manifest.get("status", {})} - {"observedGeneration"})


def namespace_held(holder: str) -> Event:
    """Return the Event about an object that is left alone, because its namespace is that of another release."""
    message = (
        f"the operator release {holder} holds this namespace by the Lease {NAMESPACE_LEASE}, and acts here alone; "
        "if that release is gone, delete the Lease"
    )
    return Event(type="Warning", reason="NamespaceHeld", message=message)
