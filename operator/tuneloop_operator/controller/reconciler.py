"""observe → decide → carry out, for one object, until nothing is left to do now."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from tuneloop_operator.controller.carry_out import carry_out
from tuneloop_operator.controller.observe import observe_deployment, observe_job, short_of_pods
from tuneloop_operator.controller.rate_limiter import RateLimiter
from tuneloop_operator.decide.fine_tune_job.job import decide as decide_job
from tuneloop_operator.decide.model_deployment.deployment import decide as decide_deployment
from tuneloop_operator.errors import Conflict, NameConflict, Refused
from tuneloop_operator.names import DEPLOYMENT_LABEL, JOB_LABEL, MANAGED_BY, MANAGER
from tuneloop_operator.state.observed import Blocker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tuneloop_operator.cluster import Cluster, Kind, Manifest
    from tuneloop_operator.controller.queue import Key
    from tuneloop_operator.controller.store import Store
    from tuneloop_operator.decide.decision import Decision, Event
    from tuneloop_operator.settings.operator import OperatorSettings

    Tell = Callable[[Manifest, Event], Awaitable[None]]
    """Tells people of an event of an object; never raises."""

_LOG = logging.getLogger(__name__)
_HOLD_SECONDS = 30.0
_MOST_ROUNDS = 20
"""A job needs five rounds at most; more would be a decision that never settles."""
_CHILDREN: dict[str, tuple[str, tuple[Kind, ...]]] = {
    "FineTuneJob": (JOB_LABEL, ("Job", "Pod")),
    "ModelDeployment": (DEPLOYMENT_LABEL, ("Deployment",)),
}
"""By kind: the label of its children, and those kinds of them that are read live before a verdict."""


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What stood in the way, and until when it is not tried again: our own status writes are seen as changes, too."""

    blocker: Blocker
    until: datetime

    def holds(self, now: datetime) -> bool:
        """Whether it is not tried yet; more is left than it began with only where the clock was set back."""
        return 0 < (self.until - now).total_seconds() <= _HOLD_SECONDS


class Reconciler:
    """Brings one object after the other to where it should be."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        store: Store,
        settings: OperatorSettings,
        clock: Callable[[], datetime],
        tell: Tell | None = None,
    ) -> None:
        self.settings = settings
        self._cluster = cluster
        self._store = store
        self._clock = clock
        self._tell = tell
        self._progress_written: dict[Key, datetime] = {}
        self._held: dict[Key, _Held] = {}
        self._pace = RateLimiter(per_second=settings.progress_writes_per_second)

    async def reconcile(self, key: Key) -> float | None:
        """Do all that can be done now for an object; return the seconds until it must be looked at again, None if never.

        Raises `ClusterUnavailable`, and `Conflict` or `AlreadyExists` where somebody else writes at the same time again and again.
        """
        if (held := self._held.get(key)) is not None and held.holds(self._clock()):
            return await self._report(key, held)
        live, refused = False, dict[str, str]()
        for _ in range(_MOST_ROUNDS):
            manifest = self._store.get(cast("Kind", key.kind), namespace=key.namespace, name=key.name)
            if manifest is None:
                self._held.pop(key, None)
                self._progress_written.pop(key, None)
                return None
            decision = self._decide(key, manifest, live=live, refused=refused)
            if decision.look:
                live, refused = True, await self._look(key)
                continue
            if not _writes(decision):
                return decision.requeue_after
            if _is_mere_progress(decision) and (wait := self._pace.wait(self._clock())) > 0:
                return wait
            blocker = await self._carry_out(key, decision, manifest)
            if blocker is not None:
                _LOG.warning("%s %s/%s: %s", *key, blocker.message)
                self._held[key] = _Held(blocker=blocker, until=self._clock() + timedelta(seconds=_HOLD_SECONDS))
                return await self._report(key, self._held[key])
            live, refused = False, {}
        raise Conflict(f"{key.kind} {key.namespace}/{key.name} did not settle in {_MOST_ROUNDS} rounds")

    async def _report(self, key: Key, held: _Held) -> float | None:
        """Write into the status what stands in the way; return the seconds until it is tried again."""
        manifest = self._store.get(cast("Kind", key.kind), namespace=key.namespace, name=key.name)
        if manifest is None:
            return None
        decision = self._decide(key, manifest, live=False, blocker=held.blocker)
        await carry_out(decision, owner=manifest, cluster=self._cluster, store=self._store)
        await self._announce(key, decision, manifest)
        return (held.until - self._clock()).total_seconds()

    def _decide(
        self,
        key: Key,
        manifest: Manifest,
        *,
        live: bool,
        refused: Mapping[str, str] | None = None,
        blocker: Blocker | None = None,
    ) -> Decision:
        now = self._clock()
        if manifest["kind"] == "ModelDeployment":
            served = observe_deployment(self._store, manifest, live=live, blocker=blocker)
            return decide_deployment(served, now=now, settings=self.settings)
        seen = observe_job(
            self._store,
            manifest,
            live=live,
            refused=refused,
            progress_written=self._progress_written.get(key),
            blocker=blocker,
        )
        return decide_job(seen, now=now, settings=self.settings)

    async def _carry_out(self, key: Key, decision: Decision, manifest: Manifest) -> Blocker | None:
        """Write; return what stood in the way."""
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
        await self._announce(key, decision, manifest)
        return None

    async def _announce(self, key: Key, decision: Decision, manifest: Manifest) -> None:
        for event in decision.events:
            level = logging.WARNING if event.type == "Warning" else logging.INFO
            _LOG.log(level, "%s %s/%s: %s %s", *key, event.reason, event.message)
            if self._tell is not None:
                await self._tell(manifest, event)

    async def _reread(self, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        kind = cast("Kind", manifest["kind"])
        fresh = await self._cluster.get(kind=kind, namespace=metadata["namespace"], name=metadata["name"])
        if fresh is None or fresh["metadata"]["uid"] != metadata["uid"]:
            self._store.remove(manifest)
        if fresh is not None:
            self._store.put(fresh)

    async def _look(self, key: Key) -> dict[str, str]:
        """Read the object and its children live; return by the uid of a Job that is short of pods why they were refused."""
        known = self._store.get(cast("Kind", key.kind), namespace=key.namespace, name=key.name)
        if known is not None:
            await self._reread(known)
        label, kinds = _CHILDREN[key.kind]
        for kind in kinds:
            before = list(self._store.labelled(label, key.name, namespace=key.namespace, kind=kind))
            # what the watch does not show would never be seen to end; a pod is asked for anew wherever it matters
            watched = {} if kind == "Pod" else {MANAGED_BY: MANAGER}
            labels = {label: key.name} | watched
            now = await self._cluster.list(kind=kind, namespace=key.namespace, labels=labels)
            self._store.replace(before, now)
        if known is None or key.kind != "FineTuneJob":
            return {}
        short = short_of_pods(self._store, known)
        return {uid: await self._cluster.refusal(namespace=key.namespace, job_uid=uid) for uid in short}


def _writes(decision: Decision) -> bool:
    return decision.status is not None or bool(decision.delete or decision.apply or decision.create)


def _is_mere_progress(decision: Decision) -> bool:
    return decision.progress_only and not (decision.delete or decision.apply or decision.create)
