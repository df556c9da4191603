"""The rules of the election, pure: observations and writes with the time of our own clock in, the next action out.

Why no two operators lead at once, as long as the API server replaces an object only at the resourceVersion that the request names:

- A leader writes only until `renew_seconds` after the moment *before* it sent the last renewal that succeeded.
- Another operator replaces the Lease only at a resourceVersion that has not changed for `lease_seconds` on its own clock, counted from the
  moment *after* it first observed that version. A renewal in between changes the resourceVersion, and the API server rejects the take-over.

So no two clocks are compared, only the length of a second, which may differ by lease_seconds / renew_seconds. `renewTime` is written for
people and never read. If somebody deletes the Lease, this no longer holds: leave the Lease alone while operators run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

Action = Literal["read", "create", "take", "renew", "wait"]


@dataclass(frozen=True, kw_only=True)
class LeaseSettings:
    """Durations in seconds; see `Leader`."""

    identity: str
    lease_seconds: float
    renew_seconds: float


@dataclass(frozen=True, kw_only=True)
class LeaseView:
    """What an operator knows of the Lease."""

    lease: Manifest | None = None
    """As last read or written; None if there is none, or if nothing is known."""
    known: bool = False
    """Whether `lease` is what the API server returned last. False after a write whose outcome is unknown."""
    observed_at: float = 0.0
    """When this resourceVersion was first observed."""
    renewed_at: float | None = None
    """The moment before the last successful renewal was sent; None: there was none since somebody else held the Lease."""
    has_led: bool = False


def leads(view: LeaseView, now: float, *, settings: LeaseSettings) -> bool:
    """Whether this operator may write now."""
    return view.renewed_at is not None and now - view.renewed_at < settings.renew_seconds


def next_action(view: LeaseView, now: float, *, settings: LeaseSettings) -> Action:
    """Return the next action."""
    if not view.known:
        return "read"
    if view.lease is None:
        return "create"
    holder = holder_of(view.lease)
    if holder == settings.identity:
        return "renew"
    if not holder or now - view.observed_at >= seconds_of(view.lease, settings):
        return "take"
    return "wait"


def observed(view: LeaseView, lease: Manifest | None, *, at: float, settings: LeaseSettings) -> LeaseView:
    """Return the view after a read. at: when the answer came."""
    if lease is None:
        return replace(view, lease=None, known=True, observed_at=at)
    same = view.lease is not None and _version(view.lease) == _version(lease)
    ours = holder_of(lease) == settings.identity
    return replace(
        view,
        lease=lease,
        known=True,
        observed_at=view.observed_at if same else at,
        renewed_at=view.renewed_at if ours else None,
    )


def written(view: LeaseView, lease: Manifest, *, sent: float) -> LeaseView:
    """Return the view after a create, take-over or renewal that succeeded. sent: the moment before it was sent."""
    return replace(view, lease=lease, known=True, observed_at=sent, renewed_at=sent, has_led=True)


def unsure(view: LeaseView) -> LeaseView:
    """Return the view after a write that was rejected or got no answer: the Lease must be read."""
    return replace(view, known=False)


def given_up(view: LeaseView) -> LeaseView:
    """Return the view of an operator that stops leading by itself."""
    return replace(view, renewed_at=None)


def new_lease(*, namespace: str, name: str, wall: str, settings: LeaseSettings) -> Manifest:
    """Return a new Lease that we hold. wall: the time for people, a MicroTime."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "tuneloop"}},
        "spec": _held(settings, wall) | {"acquireTime": wall, "leaseTransitions": 0},
    }


def taken(lease: Manifest, *, wall: str, settings: LeaseSettings) -> Manifest:
    """Return the Lease of somebody else as ours, at the resourceVersion that was observed."""
    transitions = int(lease["spec"].get("leaseTransitions") or 0) + 1
    return _with(lease, _held(settings, wall) | {"acquireTime": wall, "leaseTransitions": transitions})


def renewed(lease: Manifest, *, wall: str, settings: LeaseSettings) -> Manifest:
    """Return our Lease with a new time."""
    return _with(lease, _held(settings, wall))


def emptied(lease: Manifest) -> Manifest:
    """Return our Lease without a holder, so that the next leader need not wait."""
    return _with(lease, {"holderIdentity": ""})


def holder_of(lease: Manifest) -> str:
    """Return who holds a Lease; empty if nobody does."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _held(settings: LeaseSettings, wall: str) -> dict[str, Any]:
    seconds = max(1, round(settings.lease_seconds))  # the API knows whole seconds only
    return {"holderIdentity": settings.identity, "leaseDurationSeconds": seconds, "renewTime": wall}


def _with(lease: Manifest, spec: dict[str, Any]) -> Manifest:
    return lease | {"spec": (lease.get("spec") or {}) | spec}


def seconds_of(lease: Manifest, settings: LeaseSettings) -> float:
    """Return how long to wait for the holder: our lease time, or the holder's if that is longer."""
    return max(settings.lease_seconds, float((lease.get("spec") or {}).get("leaseDurationSeconds") or 0))


def _version(lease: Manifest) -> Any:
    return lease["metadata"].get("resourceVersion")
