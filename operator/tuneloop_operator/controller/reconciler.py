"""observe → decide → carry out, for one object, until nothing is left to do now."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, assert_never, cast

from pydantic import ValidationError

from tuneloop_operator.controller.carry_out import carry_out
from tuneloop_operator.controller.controllers import CONTROLLERS
from tuneloop_operator.controller.rate_limiter import RateLimiter
from tuneloop_operator.decide.decision import LiveChildren, MountFailures, PodRefusals
from tuneloop_operator.decide.unreadable import decide_unreadable, problems_of
from tuneloop_operator.errors import Conflict, NameConflict, Refused
from tuneloop_operator.names import MANAGED_BY, MANAGER
from tuneloop_operator.state.observed import Blocker, Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tuneloop_operator.cluster import Cluster, Kind, Manifest
    from tuneloop_operator.controller.controllers import Controller
    from tuneloop_operator.controller.queue import Key
    from tuneloop_operator.controller.store import Store
    from tuneloop_operator.decide.decision import Decision, Event, Need
    from tuneloop_operator.settings.operator import OperatorSettings

_LOG = logging.getLogger(__name__)
_HOLD_SECONDS = 30.0
_MOST_ROUNDS = 20
"""A job needs five rounds at most. More would mean that its decisions never settle."""


class EventRecorder(Protocol):
    """Records Kubernetes Events."""

    async def record(self, manifest: Manifest, event: Event) -> None:
        """Record an event about an object. Never raises."""


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What blocked the last decision, and until when the decision is not tried again.

    The operator's own status writes come back as changes. They must not end the wait.
    """

    blocker: Blocker
    until: datetime

    def holds(self, now: datetime) -> bool:
        """Whether the wait goes on. More time left than at the start means that the clock was set back."""
        return 0 < (self.until - now).total_seconds() <= _HOLD_SECONDS


class Reconciler:
    """Reconciles one object at a time, of any kind that has a controller."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        store: Store,
        settings: OperatorSettings,
        clock: Callable[[], datetime],
        events: EventRecorder | None = None,
        controllers: Mapping[str, Controller] = CONTROLLERS,
    ) -> None:
        self.settings = settings
        self._cluster = cluster
        self._store = store
        self._clock = clock
        self._events = events
        self._controllers = controllers
        self._progress_written: dict[Key, datetime] = {}
        self._held: dict[Key, _Held] = {}
        self._reported: set[Key] = set()
        """Objects whose events, as far as their stored status holds them, were reported by this operator."""
        self._progress_rate = RateLimiter(per_second=settings.progress_writes_per_second)

    async def reconcile(self, key: Key) -> float | None:
        """Do all that can be done now for an object; return the seconds until it is due again, None if only a change makes it due.

        Raises `ClusterUnavailable`, and `Conflict` or `AlreadyExists` if somebody else keeps writing at the same time.
        """
        if (held := self._held.get(key)) is not None and held.holds(self._clock()):
            return await self._report(key, held)
        facts = Facts()
        for _ in range(_MOST_ROUNDS):
            manifest = self._stored(key)
            if manifest is None:
                self._held.pop(key, None)
                self._progress_written.pop(key, None)
                self._reported.discard(key)
                return None
            await self._report_stored_events(key, manifest)
            try:
                decision = self._decide(key, manifest, facts)
            except Refused as error:
                return await self._hold(key, Blocker(reason="Refused", message=str(error)))
            if decision.needs is not None:
                facts = await self._gathered(key, decision.needs, facts)
                continue
            if not _writes(decision):
                return decision.requeue_after
            if _is_mere_progress(decision):
                wait = self._progress_rate.wait(self._clock(), namespace=key.namespace)
                if wait > 0:
                    return wait
            blocker = await self._carry_out(key, decision, manifest)
            if blocker is not None:
                return await self._hold(key, blocker)
            facts = Facts()
        raise Conflict(f"{key.kind} {key.namespace}/{key.name} did not settle in {_MOST_ROUNDS} rounds")

    async def _hold(self, key: Key, blocker: Blocker) -> float | None:
        """Do not try the decision again for a while; report what blocks it."""
        _LOG.warning("%s %s/%s: %s", *key, blocker.message)
        self._held[key] = _Held(blocker=blocker, until=self._clock() + timedelta(seconds=_HOLD_SECONDS))
        return await self._report(key, self._held[key])

    async def _report(self, key: Key, held: _Held) -> float | None:
        """Write into the status what blocks the decision; return the seconds until it is tried again."""
        manifest = self._stored(key)
        if manifest is None:
            return None
        decision = self._decide(key, manifest, Facts(blocker=held.blocker))
        await carry_out(decision, owner=manifest, cluster=self._cluster, store=self._store)
        await self._record_events(key, decision.events, manifest)
        return (held.until - self._clock()).total_seconds()

    def _stored(self, key: Key) -> Manifest | None:
        return self._store.get(cast("Kind", key.kind), namespace=key.namespace, name=key.name)

    def _decide(self, key: Key, manifest: Manifest, facts: Facts) -> Decision:
        """Return the decision. Raises `Refused` if its status would not fit the schema, as the API server would."""
        controller, now = self._controllers[key.kind], self._clock()
        facts = replace(facts, progress_written=self._progress_written.get(key))
        try:
            observed = controller.observe(self._store, manifest, facts)
        except ValidationError as error:
            return decide_unreadable(manifest, error, model=controller.model, blocker=facts.blocker, now=now)
        try:
            decision = controller.decide(observed, now=now, settings=self.settings)
        except ValidationError as error:
            problems = problems_of(error, model=controller.model)
            raise Refused(f"the status does not fit its schema: {problems.message}") from error
        decided = manifest if decision.status is None else manifest | {"status": decision.status}
        self._store.working_runs.changed(decided)
        return decision

    async def _carry_out(self, key: Key, decision: Decision, manifest: Manifest) -> Blocker | None:
        """Write; return what blocked it."""
        if decision.events:
            self._reported.discard(key)  # an error after the write of the status must not lose them
        try:
            await carry_out(decision, owner=manifest, cluster=self._cluster, store=self._store)
        except Conflict:
            await self._reread(manifest)
            return None
        except NameConflict as error:
            return Blocker(reason="NameConflict", message=str(error))
        except Refused as error:
            return Blocker(reason="Refused", message=str(error))
        if decision.progress_only:
            self._progress_written[key] = self._clock()
        await self._record_events(key, decision.events, manifest)
        self._reported.add(key)
        return None

    async def _report_stored_events(self, key: Key, manifest: Manifest) -> None:
        """Report what stands in the status and was perhaps not reported: an operator was killed, or a write failed."""
        if key not in self._reported:
            self._reported.add(key)
            stored = self._controllers[key.kind].events_to_report(manifest, self._clock())
            await self._record_events(key, stored, manifest)

    async def _record_events(self, key: Key, events: Iterable[Event], manifest: Manifest) -> None:
        for event in events:
            level = logging.WARNING if event.type == "Warning" else logging.INFO
            _LOG.log(level, "%s %s/%s: %s %s", *key, event.reason, event.message)
            if self._events is not None:
                await self._events.record(manifest, event)

    async def _gathered(self, key: Key, need: Need, facts: Facts) -> Facts:
        """Return the facts with the fact that a decision lacks."""
        match need:
            case LiveChildren():
                await self._reread_all(key)
                return replace(facts, live=True)
            case PodRefusals(job_uids=uids):
                refusals = {uid: await self._cluster.refusal(namespace=key.namespace, job_uid=uid) for uid in uids}
                return replace(facts, refusals={**facts.refusals, **refusals})
            case MountFailures(pod_uids=uids):
                found = {uid: await self._cluster.mount_failure(namespace=key.namespace, pod_uid=uid) for uid in uids}
                return replace(facts, mount_failures={**facts.mount_failures, **found})
            case _:
                assert_never(need)

    async def _reread(self, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        kind = cast("Kind", manifest["kind"])
        fresh = await self._cluster.get(kind=kind, namespace=metadata["namespace"], name=metadata["name"])
        if fresh is None or fresh["metadata"]["uid"] != metadata["uid"]:
            self._store.remove(manifest)
        if fresh is not None:
            self._store.put(fresh)

    async def _read_if_unknown(self, kind: Kind, *, namespace: str, name: str) -> None:
        if self._store.get(kind, namespace=namespace, name=name) is not None:
            return
        found = await self._cluster.get(kind=kind, namespace=namespace, name=name)
        if found is not None:
            self._store.put(found)

    async def _reread_all(self, key: Key) -> None:
        """Read the object, its children, and what it refers to and the store does not know, from the API server into the store."""
        stored, controller = self._stored(key), self._controllers[key.kind]
        if stored is not None:
            await self._reread(stored)
            for referred, name in controller.references(stored):
                await self._read_if_unknown(referred, namespace=key.namespace, name=name)
        for kind in controller.reread:
            before = list(self._store.labelled(controller.child_label, key.name, namespace=key.namespace, kind=kind))
            # the end of a child that the watch does not select would never be reported; pods are read again wherever they matter
            watched = {} if kind == "Pod" else {MANAGED_BY: MANAGER}
            labels = {controller.child_label: key.name} | watched
            now = await self._cluster.list(kind=kind, namespace=key.namespace, labels=labels)
            self._store.replace(before, now)


def _writes(decision: Decision) -> bool:
    return decision.status is not None or _writes_children(decision)


def _is_mere_progress(decision: Decision) -> bool:
    return decision.progress_only and not _writes_children(decision)


def _writes_children(decision: Decision) -> bool:
    return bool(decision.delete or decision.apply or decision.create or decision.scale)
