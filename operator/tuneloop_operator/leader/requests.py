"""The requests about a Lease: what the rules say next is sent to the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tuneloop_operator.cluster.server_clock import time_of_day
from tuneloop_operator.cluster.times import micro_time
from tuneloop_operator.leader import lease as rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.leader.lease import LeaseSettings, LeaseView


class Leases(Protocol):
    """What the API server is asked."""

    async def get(self, *, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return the object as it is now, or None."""

    async def create(self, manifest: Manifest) -> Manifest:
        """Create the object. Raises `AlreadyExists`."""

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace the object. Raises `Conflict` if the object is newer than the manifest."""


async def write(
    leases: Leases,
    view: LeaseView,
    *,
    namespace: str,
    name: str,
    settings: LeaseSettings,
    clock: Callable[[], float],
    wall: Callable[[], datetime] = time_of_day,
) -> LeaseView:
    """Create, take or renew the Lease, if it is time for one of them; return the view after it. wall: the time that is written into the Lease."""
    sent, written_at = clock(), micro_time(wall())
    action, lease = rules.next_action(view, sent, settings=settings), view.lease
    if action == "create":
        new = rules.new_lease(namespace=namespace, name=name, wall=written_at, settings=settings)
        stored = await leases.create(new)
    elif action == "take" and lease is not None:
        stored = await leases.replace(rules.taken(lease, wall=written_at, settings=settings))
    elif action == "renew" and lease is not None:
        stored = await leases.replace(rules.renewed(lease, wall=written_at, settings=settings))
    else:
        return view
    return rules.written(view, stored, sent=sent)
