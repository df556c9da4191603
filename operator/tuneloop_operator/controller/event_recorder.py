"""Posts decided events as Kubernetes Events: in the background, each one once in ten minutes, and never at the cost of the work itself."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, Protocol

from tuneloop_operator.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.decision import Event

_LOG = logging.getLogger(__name__)
_SAME_WITHIN = timedelta(minutes=10)
_MOST_WAITING = 1000


class Poster(Protocol):
    """What is asked of an API server."""

    async def post_event(
        self, regarding: Manifest, *, kind: str, reason: str, message: str, instance: str, now: datetime
    ) -> None:
        """Create an Event about an object."""


class EventPoster:
    """Tells people of events; one that cannot be posted is in the log, and is not tried again."""

    def __init__(self, *, cluster: Poster, instance: str, clock: Callable[[], datetime]) -> None:
        """`instance`: the pod that reports."""
        self._cluster = cluster
        self._instance = instance
        self._clock = clock
        self._told: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()
        """When each (uid, reason, message) was last told, the oldest first."""
        self._waiting: asyncio.Queue[tuple[Manifest, Event, datetime]] = asyncio.Queue(_MOST_WAITING)

    async def tell(self, manifest: Manifest, event: Event) -> None:
        """Take an event to be posted soon. Does not wait; what is too much at once is dropped."""
        now = self._clock()
        if self._is_repeated((manifest["metadata"]["uid"], event.reason, event.message), now=now):
            return
        try:
            self._waiting.put_nowait((manifest, event, now))
        except asyncio.QueueFull:
            _LOG.warning("%d events wait to be posted; %s is dropped", _MOST_WAITING, event.reason)

    async def run(self) -> NoReturn:
        """Post what was told, in that order."""
        while True:
            manifest, event, now = await self._waiting.get()
            try:
                await self._cluster.post_event(
                    manifest,
                    kind=event.type,
                    reason=event.reason,
                    message=event.message,
                    instance=self._instance,
                    now=now,
                )
            except OperatorError as error:
                metadata = manifest["metadata"]
                _LOG.warning(
                    "event %s of %s/%s was not posted: %s",
                    event.reason,
                    metadata["namespace"],
                    metadata["name"],
                    error or type(error).__name__,
                )

    def _is_repeated(self, key: tuple[str, str, str], *, now: datetime) -> bool:
        while self._told and now - next(iter(self._told.values())) >= _SAME_WITHIN:
            self._told.popitem(last=False)
        if key in self._told:
            return True
        self._told[key] = now
        return False
