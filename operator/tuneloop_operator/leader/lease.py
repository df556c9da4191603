"""Who leads: the pure part. What was seen and done goes in with our own clock's time, the next step comes out.

The argument why no two lead at once, while the API server keeps its word (a replace lands only on the resourceVersion that it names):

- a leader writes only until `renew_seconds` after the moment *before* it sent the renewal that succeeded last;
- another one replaces the Lease only with the resourceVersion that it has seen unchanged for `lease_seconds` on its own clock, counted
  from the moment *after* it first saw it. A renewal in between changes the resourceVersion, and the take-over is turned down.

So two clocks are never compared, only the length of a second, which may differ by lease_seconds / renew_seconds. `renewTime` is written
for people and never read. A Lease that is deleted by hand ends the argument: leave it alone while operators run.
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
    """What one operator knows of the Lease."""

    lease: Manifest | None = None
    """As it was read or written last; None if there is none, or nothing is known."""
    known: bool = False
    """Whether `lease` is what the API server said last. False after a write whose fate is unknown."""
    seen_at: float = 0.0
    """When this resourceVersion was seen first."""
    renewed_at: float | None = None
    """Right before the last renewal that succeeded was sent; None: none did since we last saw somebody else hold it."""
    has_led: bool = False


def leads(view: LeaseView, now: float, *, settings: LeaseSettings) -> bool:
    """Whether one may write now."""
    return view.renewed_at is not None and now - view.renewed_at < settings.renew_seconds


def next_action(view: LeaseView, now: float, *, settings: LeaseSettings) -> Action:
    """Return what to ask the API server now."""
    if not view.known:
        return "read"
    if view.lease is None:
        return "create"
    holder = holder_of(view.lease)
    if holder == settings.identity:
        return "renew"
    if not holder or now - view.seen_at >= _seconds_of(view.lease, settings):
        return "take"
    return "wait"


def seen(view: LeaseView, lease: Manifest | None, *, at: float, settings: LeaseSettings) -> LeaseView:
    """Return the view after a read that was answered `at`."""
    if lease is None:
        return replace(view, lease=None, known=True, seen_at=at)
    same = view.lease is not None and _version(view.lease) == _version(lease)
    ours = holder_of(lease) == settings.identity
    return replace(
        view,
        lease=lease,
        known=True,
        seen_at=view.seen_at if same else at,
        renewed_at=view.renewed_at if ours else None,
    )


def written(view: LeaseView, lease: Manifest, *, sent: float) -> LeaseView:
    """Return the view after a create, take or renewal that succeeded; `sent`: right before it was sent."""
    return replace(view, lease=lease, known=True, seen_at=sent, renewed_at=sent, has_led=True)


def unsure(view: LeaseView) -> LeaseView:
    """Return the view after a write that was turned down or whose answer is missing: what there is now must be read."""
    return replace(view, known=False)


def given_up(view: LeaseView) -> LeaseView:
    """Return the view of one that stops leading by itself."""
    return replace(view, renewed_at=None)


def new_lease(*, namespace: str, name: str, wall: str, settings: LeaseSettings) -> Manifest:
    """Return a Lease that we hold. `wall`: the time for people, a MicroTime."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "tuneloop"}},
        "spec": _held(settings, wall) | {"acquireTime": wall, "leaseTransitions": 0},
    }


def taken(lease: Manifest, *, wall: str, settings: LeaseSettings) -> Manifest:
    """Return somebody else's Lease as ours; it still names the resourceVersion that was seen."""
    transitions = int(lease["spec"].get("leaseTransitions") or 0) + 1
    return _with(lease, _held(settings, wall) | {"acquireTime": wall, "leaseTransitions": transitions})


def renewed(lease: Manifest, *, wall: str, settings: LeaseSettings) -> Manifest:
    """Return our Lease with a new time."""
    return _with(lease, _held(settings, wall))


def emptied(lease: Manifest) -> Manifest:
    """Return our Lease without a holder: the next one need not wait."""
    return _with(lease, {"holderIdentity": ""})


def holder_of(lease: Manifest) -> str:
    """Return who holds a Lease; empty if nobody does."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _held(settings: LeaseSettings, wall: str) -> dict[str, Any]:
    seconds = max(1, round(settings.lease_seconds))  # the API knows whole seconds only
    return {"holderIdentity": settings.identity, "leaseDurationSeconds": seconds, "renewTime": wall}


def _with(lease: Manifest, spec: dict[str, Any]) -> Manifest:
    return lease | {"spec": (lease.get("spec") or {}) | spec}


def _seconds_of(lease: Manifest, settings: LeaseSettings) -> float:
    """Return how long to wait for the holder: what it asked for itself, if that is longer than ours."""
    return max(settings.lease_seconds, float((lease.get("spec") or {}).get("leaseDurationSeconds") or 0))


def _version(lease: Manifest) -> Any:
    return lease["metadata"].get("resourceVersion")
