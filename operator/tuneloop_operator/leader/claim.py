"""Which release acts in a namespace, pure: what is known of the namespace's Lease and the time in, whether to act or to ask out.

Each namespace with objects of ours has a Lease. Its holder is a release: all replicas that take part in one election. So a new pod of the
same release need not wait, and the election sees to it that only one replica of the release acts.

The rules are those of `lease`, with longer times: a release acts only for `renew_seconds` after its last renewal, and another release
takes the Lease only if it did not change for `lease_seconds`. One rule is new, so that a release need not wait for one that ended long
ago: the Lease is also taken if its `renewTime` is older than `lease_seconds` and `LARGEST_SKEW`. This holds while no two clocks of the
cluster differ by more than `LARGEST_SKEW`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tuneloop_operator.leader import lease as rules
from tuneloop_operator.leader.lease import LeaseSettings, LeaseView

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

LARGEST_SKEW = timedelta(minutes=15)
_ACTS_SHARE, _LOOKS_SHARE = 2 / 3, 1 / 15
"""How long a holder acts without a renewal, and how often others look at the Lease: shares of `lease_seconds`."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a release knows of the Lease of one namespace."""

    view: LeaseView = field(default_factory=LeaseView)
    asked_at: float | None = None
    """When the API server answered last; None: it was never asked."""


def lease_settings(release: str, *, lease_seconds: float) -> LeaseSettings:
    """Return the times of a namespace's Lease. release: the same for all replicas of a release, and for no other release."""
    return LeaseSettings(identity=release, lease_seconds=lease_seconds, renew_seconds=lease_seconds * _ACTS_SHARE)


def may_act(claim: Claim, now: float, *, settings: LeaseSettings) -> bool:
    """Whether this release may act in the namespace now."""
    return rules.leads(claim.view, now, settings=settings)


def is_due(claim: Claim, now: float, *, settings: LeaseSettings, namespace: str) -> bool:
    """Whether to ask the API server: to renew our Lease, or to look at the Lease of another release.

    The renewals of many namespaces, which may all have been claimed at the start, spread over a tenth of `lease_seconds`.
    """
    if claim.asked_at is None:
        return True
    if claim.view.renewed_at is not None and may_act(claim, now, settings=settings):
        early = settings.renew_seconds * 0.15 * (zlib.crc32(namespace.encode()) / 2**32)
        return now - claim.view.renewed_at >= settings.renew_seconds / 2 - early
    return now - claim.asked_at >= pause(settings)


def pause(settings: LeaseSettings) -> float:
    """Return the seconds between two looks at the Lease of another release."""
    return settings.lease_seconds * _LOOKS_SHARE


def observed(claim: Claim, lease: Manifest | None, *, at: float, wall: datetime, settings: LeaseSettings) -> Claim:
    """Return the claim after a read. at: when the answer came, by the clock of durations; wall: the time of day."""
    view = rules.observed(claim.view, lease, at=at, settings=settings)
    if lease is not None and _ended_long_ago(lease, wall=wall, settings=settings):
        view = replace(view, observed_at=at - rules.seconds_of(lease, settings))
    return replace(claim, view=view, asked_at=at)


def foreign_holder(claim: Claim, *, settings: LeaseSettings) -> str:
    """Return the other release that holds the Lease, as far as is known; empty if there is none."""
    holder = rules.holder_of(claim.view.lease) if claim.view.lease is not None else ""
    return "" if holder == settings.identity else holder


def _ended_long_ago(lease: Manifest, *, wall: datetime, settings: LeaseSettings) -> bool:
    try:
        renewed = datetime.fromisoformat((lease.get("spec") or {}).get("renewTime") or "")
    except (TypeError, ValueError):
        return False
    if renewed.tzinfo is None:
        renewed = renewed.replace(tzinfo=UTC)
    return wall - renewed > timedelta(seconds=rules.seconds_of(lease, settings)) + LARGEST_SKEW
