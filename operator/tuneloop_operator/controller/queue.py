"""Which object is reconciled next: one worker at a time for each key, few for each namespace, in turns, later after failures.

`Schedule` is the pure core, with the time passed in. `WorkQueue` is its shell for asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random as random_module
from collections import Counter, OrderedDict
from itertools import count
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_BESIDE_SECONDS = 5.0
"""How long a namespace counts as busy after a key of it was in work. Between two steps of a job, the cluster works on its pods for about a second."""


class Key(NamedTuple):
    """An object of ours."""

    kind: str
    namespace: str
    name: str


class Share(NamedTuple):
    """How many keys of one namespace may be in work."""

    alone: int
    """While no other namespace is busy."""
    beside: int
    """While one is."""


class Schedule:
    """Keys that are due now, due later, or in work. Times are seconds of a clock that never goes back."""

    def __init__(self, *, share: Share | None = None) -> None:
        """share: None means as many as there are workers."""
        self._share = share
        self._ready: OrderedDict[str, OrderedDict[Key, float]] = OrderedDict()
        """Since when each key is due, by namespace. The namespace whose turn is next comes first."""
        self._later: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        """Times from `_later`; an entry whose time differs from `_later` is void."""
        self._numbers = count()
        self._running: dict[Key, float] = {}
        """How long each key in work had been due."""
        self._at_work: Counter[str] = Counter()
        """How many keys of each namespace are in work."""
        self._done_at: OrderedDict[str, float] = OrderedDict()
        """When the last key of each namespace was done, the latest last; those of the last few seconds."""
        self._again: dict[Key, float] = {}
        """When keys in work are due again."""
        self._held: dict[Key, float] = {}

    def hold(self, key: Key, *, until: float | None) -> None:
        """Let a key be due no earlier than this, whoever adds it. None ends the hold."""
        self._held.pop(key, None)
        if until is not None:
            self._held[key] = until

    def add(self, key: Key, *, at: float, now: float) -> None:
        """Make a key due at this time, or earlier if it already is."""
        at = max(at, self._held.get(key, at))
        if key in self._running:
            self._again[key] = min(at, self._again.get(key, at))
        elif key in self._ready.get(key.namespace, ()):
            return
        elif at <= now:
            self._later.pop(key, None)
            self._ready.setdefault(key.namespace, OrderedDict())[key] = now
        elif at < self._later.get(key, float("inf")):
            self._later[key] = at
            heapq.heappush(self._heap, (at, next(self._numbers), key))

    def take(self, now: float) -> Key | None:
        """Return a key, which is in work until `done` is called for it; None if no key is due whose namespace may have a worker."""
        self._ripen(now)
        namespace = self._next_namespace(now)
        if namespace is None:
            return None
        keys = self._ready.pop(namespace)
        key, since = keys.popitem(last=False)
        if keys:
            self._ready[namespace] = keys  # at the end: the other namespaces come first
        self._running[key] = max(now - since, 0.0)
        self._at_work[namespace] += 1
        return key

    def done(self, key: Key, now: float) -> None:
        """End the work on a key. It is due again if it was added meanwhile."""
        del self._running[key]
        self._at_work[key.namespace] -= 1
        if not self._at_work[key.namespace]:
            del self._at_work[key.namespace]
        self._done_at[key.namespace] = now
        self._done_at.move_to_end(key.namespace)
        while next(iter(self._done_at.values())) < now - _BESIDE_SECONDS:
            self._done_at.popitem(last=False)
        if (at := self._again.pop(key, None)) is not None:
            self.add(key, at=at, now=now)

    def next_at(self, now: float) -> float | None:
        """Return when the next key can be taken: `now`, or later, or None if that takes an `add` or a `done`."""
        return now if self._next_namespace(now) is not None else self._next_later()

    def waited(self, key: Key) -> float:
        """Return how long a key in work had been due."""
        return self._running[key]

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        return sum(map(len, self._ready.values()))

    @property
    def is_busy(self) -> bool:
        """Whether a key is due or in work."""
        return bool(self._ready or self._running)

    def _ripen(self, now: float) -> None:
        while (at := self._next_later()) is not None and at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._later[key]
            self._ready.setdefault(key.namespace, OrderedDict())[key] = at

    def _next_namespace(self, now: float) -> str | None:
        """Return the namespace whose turn is next. Those that have all their workers keep their turn; they are fewer than there are workers."""
        return next((name for name in self._ready if self._may_have_another(name, now)), None)

    def _may_have_another(self, namespace: str, now: float) -> bool:
        if self._share is None:
            return True
        most = self._share.beside if self._is_beside_others(namespace, now) else self._share.alone
        return self._at_work[namespace] < most

    def _is_beside_others(self, namespace: str, now: float) -> bool:
        """Return whether another namespace has a key in work, or had lately."""
        others_at_work = len(self._at_work) > (namespace in self._at_work)
        latest = next((at for name, at in reversed(self._done_at.items()) if name != namespace), -inf)
        return others_at_work or latest >= now - _BESIDE_SECONDS

    def _next_later(self) -> float | None:
        """Return when the first of the later keys is due. Drops void entries on top of the heap."""
        while self._heap and self._later.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None


def backoff_seconds(failures: int, *, random: float) -> float:
    """Return the wait after this many failures in a row (from 1): doubling up to 30 s, shortened by up to half (random: 0 to 1)."""
    longest = min(_FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 32), _LONGEST_BACKOFF_SECONDS)
    return longest * (1 - random / 2)


class WorkQueue:
    """A schedule for workers that await their next key."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] | None = None,
        random: Callable[[], float] = random_module.random,
        share: Share | None = None,
    ) -> None:
        """share: as of `Schedule`."""
        self._schedule = Schedule(share=share)
        self._clock = clock
        self._random = random
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def add(self, key: Key, *, after: float = 0.0) -> None:
        """Make a key due in `after` seconds, or earlier if it already is."""
        now = self._now()
        self._schedule.add(key, at=now + after, now=now)
        self._notify()

    async def get(self) -> Key | None:
        """Return the next key once one is due; None after `close`."""
        while True:
            # reconciling an object in which nothing is left to do awaits nothing: leases, probes and watches get their turn here
            await asyncio.sleep(0)
            if self._closed:
                return None
            if (key := self._schedule.take(self._now())) is not None:
                self._idle.clear()
                return key
            self._changed.clear()
            self._show_idle()
            # not `wait_for`: before Python 3.12 it loses a cancellation that coincides with a change
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.next_in()):
                    await self._changed.wait()

    def done(self, key: Key, *, requeue_after: float | None = None) -> None:
        """End the work on a key without a failure."""
        self._failures.pop(key, None)
        self._schedule.hold(key, until=None)
        if requeue_after is not None:
            self.add(key, after=requeue_after)
        self._schedule.done(key, self._now())
        self._notify()

    def failed(self, key: Key, *, at_least: float = 0.0) -> float:
        """End the work on a key with a failure; return the seconds until it is tried again, at least `at_least`.

        Changes of the object do not shorten the wait: some are our own writes, and would turn the wait into a hot loop.
        """
        self._failures[key] = self._failures.get(key, 0) + 1
        wait = at_least + backoff_seconds(self._failures[key], random=self._random())
        self._schedule.hold(key, until=self._now() + wait)
        self.add(key, after=wait)
        self._schedule.done(key, self._now())
        self._notify()
        return wait

    def waited(self, key: Key) -> float:
        """Return how many seconds a key in work had been due."""
        return self._schedule.waited(key)

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        return self._schedule.depth

    def next_in(self) -> float | None:
        """Return the seconds until the next key can be taken; None if that takes an `add` or a `done`."""
        now = self._now()
        at = self._schedule.next_at(now)
        return None if at is None else max(at - now, 0.0)

    def close(self) -> None:
        """Let every worker end after its current key."""
        self._closed = True
        self._changed.set()
        self._idle.set()

    async def idle(self) -> None:
        """Return once no key is due or in work. Keys that are due later may be left."""
        await self._idle.wait()

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()

    def _notify(self) -> None:
        self._changed.set()
        if self._schedule.is_busy:
            self._idle.clear()
        else:
            self._show_idle()

    def _show_idle(self) -> None:
        if not self._schedule.is_busy:
            self._idle.set()
