"""Posts decided events as Kubernetes Events, in the background and at most once in ten minutes, so that they never delay the work."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, Protocol

from tuneloop_operator.cluster.events import event_manifest
from tuneloop_operator.errors import AlreadyExists, OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.decision import Event

_LOG = logging.getLogger(__name__)
_SAME_WITHIN = timedelta(minutes=10)
_MOST_WAITING = 1000


class Poster(Protocol):
    """The request to the API server."""

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object. Raises AlreadyExists if it is there."""


class BackgroundEventRecorder:
    """Implements the reconciler's `EventRecorder`. An event that cannot be posted is logged, and is not tried again."""

    def __init__(self, *, cluster: Poster, instance: str, clock: Callable[[], datetime]) -> None:
        """instance: the pod that reports the events."""
        self._cluster = cluster
        self._instance = instance
        self._clock = clock
        self._recorded: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()
        """When each (uid, reason, message) was last recorded, the oldest first."""
        self._waiting: asyncio.Queue[tuple[Manifest, Event, datetime]] = asyncio.Queue(_MOST_WAITING)

    async def record(self, manifest: Manifest, event: Event) -> None:
        """Queue an event. Never waits: while too many events are queued, it drops the event."""
        now = self._clock()
        if self._is_repeated((manifest["metadata"]["uid"], event.reason, event.message), now=now):
            return
        try:
            self._waiting.put_nowait((manifest, event, now))
        except asyncio.QueueFull:
            _LOG.warning("%d events wait to be posted; %s is dropped", _MOST_WAITING, event.reason)

    async def run(self) -> NoReturn:
        """Post the queued events in their order."""
        while True:
            manifest, event, now = await self._waiting.get()
            try:
                await self._cluster.create(self._manifest_of(event, about=manifest, now=now))
            except AlreadyExists:
                continue  # an operator that was killed had reported it
            except OperatorError as error:
                metadata = manifest["metadata"]
                _LOG.warning(
                    "event %s of %s/%s was not posted: %s",
                    event.reason,
                    metadata["namespace"],
                    metadata["name"],
                    error or type(error).__name__,
                )

    def _manifest_of(self, event: Event, *, about: Manifest, now: datetime) -> Manifest:
        return event_manifest(
            about,
            kind=event.type,
            reason=event.reason,
            message=event.message,
            instance=self._instance,
            now=event.at or now,
            is_named=event.at is not None,
        )

    def _is_repeated(self, key: tuple[str, str, str], *, now: datetime) -> bool:
        while self._recorded and now - next(iter(self._recorded.values())) >= _SAME_WITHIN:
            self._recorded.popitem(last=False)
        if key in self._recorded:
            return True
        self._recorded[key] = now
        return False
