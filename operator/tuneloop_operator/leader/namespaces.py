"""The Leases of namespaces: asks the API server which release acts in a namespace. `claim` holds the rules.

Nothing is given back at the end: a rolling update ends a process, too, and no other release is to act between two pods of one release.
So after `helm uninstall` another release waits until the Lease has expired, or until somebody deletes the Lease.

A reconciliation asks before it begins, and not before each write. It ends within the third of `lease_seconds` that lies between our last
moment and the first moment of another release; and a process that was stopped for longer has lost the election, whose fence stops writes.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from tuneloop_operator.cluster.server_clock import seconds_since_boot, time_of_day
from tuneloop_operator.errors import AlreadyExists, ClusterError, Conflict
from tuneloop_operator.leader import claim as rules
from tuneloop_operator.leader import lease
from tuneloop_operator.leader.claim import Claim
from tuneloop_operator.leader.requests import Leases, write
from tuneloop_operator.names import NAMESPACE_LEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

_LOG = logging.getLogger(__name__)
_TRIES = 3
_TICK_SHARE = 1 / 30
"""How often renewals are looked for, as a share of `lease_seconds`."""


@dataclass
class _Namespace:
    """One namespace. The lock lets one worker ask while the others wait for its answer."""

    claim: Claim = field(default_factory=Claim)
    foreign: str = ""
    """The other release that holds the namespace, as it was logged."""
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


class NamespaceLeases:
    """One release among all that may watch the same namespaces."""

    def __init__(
        self,
        *,
        leases: Leases,
        release: str,
        lease_seconds: float,
        clock: Callable[[], float] = seconds_since_boot,
        wall: Callable[[], datetime] = time_of_day,
    ) -> None:
        """release: the same for all replicas of this release, and for no other release."""
        self._leases = leases
        self._settings = rules.lease_settings(release, lease_seconds=lease_seconds)
        self._clock = clock
        self._wall = wall
        self._namespaces: dict[str, _Namespace] = {}

    async def wait(self, namespace: str) -> float:
        """Return 0 if this release may act in the namespace, else the seconds after which to ask again.

        Raises `ClusterError` if that cannot be found out now.
        """
        known = self._namespaces.setdefault(namespace, _Namespace())
        async with known.busy:
            await self._ask_if_due(namespace, known)
            self._report(namespace, known)
            if self._may_act(known):
                return 0.0
            asked_at = known.claim.asked_at if known.claim.asked_at is not None else self._clock()
            return max(asked_at + rules.pause(self._settings) - self._clock(), 0.001)

    def holder(self, namespace: str) -> str:
        """Return the other release that holds this namespace; empty if there is none."""
        known = self._namespaces.get(namespace)
        return known.foreign if known is not None else ""

    def foreign(self) -> Mapping[str, str]:
        """Return the namespaces that other releases hold, with their holders."""
        return {name: known.foreign for name, known in sorted(self._namespaces.items()) if known.foreign}

    async def keep(self, namespaces: Callable[[], Collection[str]], *, leads: Callable[[], bool]) -> NoReturn:
        """Renew the Leases of these namespaces while this replica leads, and forget all others."""
        while True:
            await asyncio.sleep(self._settings.lease_seconds * _TICK_SHARE)
            if leads():
                await self.renew(namespaces())

    async def renew(self, namespaces: Collection[str]) -> None:
        """Renew what is ours and due. After a failure the rest is left to the next call."""
        for name in [name for name, known in self._namespaces.items() if not known.busy.locked()]:
            if name not in namespaces:
                self._namespaces.pop(name, None)
        for name, known in list(self._namespaces.items()):
            if known.claim.view.renewed_at is None or known.foreign:
                continue
            async with known.busy:
                try:
                    await self._ask_if_due(name, known)
                except ClusterError as error:
                    _LOG.warning("the Lease %s/%s: %s", name, NAMESPACE_LEASE, error)
                    return
                self._report(name, known)

    def _may_act(self, known: _Namespace) -> bool:
        return rules.may_act(known.claim, self._clock(), settings=self._settings)

    async def _ask_if_due(self, namespace: str, known: _Namespace) -> None:
        """Ask the API server if that is due. Raises `ClusterError` unless we may act without an answer."""
        if not rules.is_due(known.claim, self._clock(), settings=self._settings, namespace=namespace):
            return
        try:
            await self._ask(namespace, known)
        except ClusterError:
            known.claim = replace(known.claim, view=lease.unsure(known.claim.view))
            if not self._may_act(known):
                raise

    async def _ask(self, namespace: str, known: _Namespace) -> None:
        for tries in range(_TRIES):
            try:
                await self._step(namespace, known)
            except (Conflict, AlreadyExists):  # a replica of ours or another release was faster, or an answer was lost
                known.claim = replace(known.claim, view=lease.unsure(known.claim.view))
                if tries == _TRIES - 1:
                    raise
            else:
                return

    async def _step(self, namespace: str, known: _Namespace) -> None:
        """Renew our Lease; else read it, and create or take it if the rules allow that."""
        if lease.next_action(known.claim.view, self._clock(), settings=self._settings) != "renew":
            found = await self._leases.get(kind="Lease", namespace=namespace, name=NAMESPACE_LEASE)
            known.claim = rules.observed(
                known.claim, found, at=self._clock(), wall=self._wall(), settings=self._settings
            )
        view = await write(
            self._leases,
            known.claim.view,
            namespace=namespace,
            name=NAMESPACE_LEASE,
            settings=self._settings,
            clock=self._clock,
            wall=self._wall,
        )
        known.claim = Claim(view=view, asked_at=self._clock())

    def _report(self, namespace: str, known: _Namespace) -> None:
        """Say once that the namespace is left alone to another release, and once that it is ours again."""
        holder = rules.foreign_holder(known.claim, settings=self._settings)
        if holder == known.foreign:
            return
        known.foreign = holder
        if holder:
            _LOG.warning(
                "namespace %s is left alone: the release %s acts there, and this one is %s (each is named by the Lease of its leader). Let two "
                "releases watch different namespaces. If the other release is gone, this one goes on after %.0f s, or at once after: "
                "kubectl -n %s delete lease %s",
                *(namespace, holder, self._settings.identity),
                *(self._settings.lease_seconds, namespace, NAMESPACE_LEASE),
            )
        else:
            _LOG.warning("namespace %s is no longer held by another release: this one acts there now", namespace)
