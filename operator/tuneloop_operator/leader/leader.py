"""The election: of several operators, the holder of the Lease writes. `lease` holds the rules; this module asks the API server.

If the API server is away, the leader stops writing after `renew_seconds`, but its process goes on. When the API server is back and the Lease
is still ours, the leader writes again. The process ends only if it led and then another operator holds the Lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from tuneloop_operator.cluster.server_clock import seconds_since_boot
from tuneloop_operator.errors import AlreadyExists, ClusterError, Conflict, LostLeadership
from tuneloop_operator.leader import lease as rules
from tuneloop_operator.leader.lease import LeaseSettings, LeaseView
from tuneloop_operator.leader.requests import write

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.leader.requests import Leases

_LOG = logging.getLogger(__name__)
_RELEASE_TRIES = 3


def ignore(_: bool) -> None:  # noqa: FBT001  (the shape of `on_change`)
    """Do nothing."""


class Leader:
    """One operator in the election. No two processes that run at the same time may have the same identity."""

    def __init__(
        self,
        *,
        leases: Leases,
        namespace: str,
        name: str,
        identity: str,
        lease_seconds: float = 15.0,
        renew_seconds: float = 10.0,
        retry_seconds: float = 2.0,
        clock: Callable[[], float] = seconds_since_boot,
        on_change: Callable[[bool], None] = ignore,
    ) -> None:
        """A leader renews every `retry_seconds` and writes until `renew_seconds` after the last renewal. Others wait `lease_seconds`.

        on_change: called with True and False; it must not wait or raise. While a renewal gets no answer, False may come late: ask `leads`
        before each write.
        """
        self._leases = leases
        self._namespace = namespace
        self._name = name
        self._settings = LeaseSettings(identity=identity, lease_seconds=lease_seconds, renew_seconds=renew_seconds)
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._on_change = on_change
        self._view = LeaseView()
        self._reported = False
        self._released = asyncio.Event()
        self._busy = asyncio.Lock()

    def leads(self) -> bool:
        """Whether this operator may write now. Sends no request."""
        return not self._released.is_set() and rules.leads(self._view, self._clock(), settings=self._settings)

    async def run(self) -> None:
        """Take part until `release`. Raises `LostLeadership` if this operator led and another operator holds the Lease."""
        while not self._released.is_set():
            async with self._busy:
                await self._step()
            self._report()
            # not `wait_for`: before Python 3.12 it loses a cancellation that coincides with the release
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._released.wait()
                return
            self._report()

    async def release(self) -> None:
        """Stop leading at once, and empty the Lease, so that the next leader need not wait. A failure is only logged."""
        self._released.set()
        self._report()
        async with self._busy:  # a renewal in flight would fill the Lease again
            try:
                await self._empty()
            except ClusterError as error:
                _LOG.warning("the Lease %s/%s could not be released: %s", self._namespace, self._name, error)

    async def _step(self) -> None:
        """Carry out the next action; read the Lease first, unless it is to be renewed."""
        try:
            if rules.next_action(self._view, self._clock(), settings=self._settings) == "renew":
                await self._write()
                return
            await self._read()
            await self._write()
        except (Conflict, AlreadyExists):
            self._view = rules.unsure(self._view)  # somebody was faster, or this is our own write whose answer was lost
        except ClusterError as error:
            self._view = rules.unsure(self._view)
            _LOG.warning("the Lease %s/%s: %s", self._namespace, self._name, error)

    async def _read(self) -> None:
        found = await self._leases.get(kind="Lease", namespace=self._namespace, name=self._name)
        had_led = self._view.has_led
        self._view = rules.observed(self._view, found, at=self._clock(), settings=self._settings)
        holder = rules.holder_of(found) if found is not None else ""
        if had_led and holder and holder != self._settings.identity:
            self._report()
            raise LostLeadership(f"{holder} leads now: it holds the Lease {self._namespace}/{self._name}")

    async def _write(self) -> None:
        """Create, take or renew the Lease, if it is time for one of them."""
        self._view = await write(
            self._leases,
            self._view,
            namespace=self._namespace,
            name=self._name,
            settings=self._settings,
            clock=self._clock,
        )

    async def _empty(self) -> None:
        for _ in range(_RELEASE_TRIES):
            if not self._view.known:
                await self._read_again()
            lease = self._view.lease
            if lease is None or rules.holder_of(lease) != self._settings.identity:
                return
            try:
                await self._leases.replace(rules.emptied(lease))
            except Conflict:
                self._view = rules.unsure(self._view)
            else:
                self._view = rules.given_up(rules.unsure(self._view))
                return

    async def _read_again(self) -> None:
        found = await self._leases.get(kind="Lease", namespace=self._namespace, name=self._name)
        self._view = rules.observed(self._view, found, at=self._clock(), settings=self._settings)

    def _pause(self) -> float:
        """Return the seconds until the next step, at most those for which we may still write, so that the end is reported in time."""
        if self._view.renewed_at is None or not self._reported:
            return self._retry_seconds
        left = self._view.renewed_at + self._settings.renew_seconds - self._clock()
        return min(self._retry_seconds, max(left, 0.01))

    def _report(self) -> None:
        if (leads := self.leads()) != self._reported:
            self._reported = leads
            _LOG.info("%s %s", self._settings.identity, "leads" if leads else "does not lead")
            self._on_change(leads)
