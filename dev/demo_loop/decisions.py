"""What an operator has decided between two versions of a ModelDeployment, as marks for the page and lines for a terminal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo_loop.events import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Manifest

PROMOTED, BASELINE, TRIGGER, LOOP, WEIGHT, ENDED = "promoted", "baseline", "trigger", "loop", "weight", "ended"
_WORTH_A_MARK = {"Pending", "Firing"}


def decisions(before: Manifest, after: Manifest, *, at: float) -> Iterator[Mark]:
    """Yield what has changed. at: seconds since 1970."""
    for name, text in _changes(before.get("status") or {}, after.get("status") or {}):
        yield Mark(at=at, name=name, text=text)


def canary_share(status: Manifest) -> int:
    """Return the percentage of the requests that the canary is to get, 0 without one."""
    rollout = status.get("rollout") or {}
    weights = (rollout.get("split") or {}).get("weights") or ()
    return next((found["weight"] for found in weights if found["revision"] == rollout.get("canary")), 0)


def trigger_of(status: Manifest, name: str) -> dict[str, Any]:
    """Return what a trigger last found; empty where nothing is known."""
    found = (status.get("retraining") or {}).get("triggers") or ()
    return next((trigger for trigger in found if trigger["name"] == name), {})


def runs_of(status: Manifest) -> list[dict[str, Any]]:
    """Return the runs, the oldest first."""
    return list((status.get("retraining") or {}).get("history") or ())


def _changes(before: Manifest, after: Manifest) -> Iterator[tuple[str, str]]:
    if _has_baseline(after) and not _has_baseline(before):
        yield BASELINE, "the baseline is captured: what requests look like before the drift"
    yield from _trigger_changes(before, after)
    loop = after.get("retraining") or {}
    if loop.get("state", "Idle") != (before.get("retraining") or {}).get("state", "Idle"):
        yield LOOP, f"loop {loop.get('state', 'Idle')}: {loop.get('message', '')}".rstrip(": ")
    yield from _rollout_changes(before, after)
    known = {run["job"] for run in runs_of(before) if "outcome" in run}
    for run in runs_of(after):
        if "outcome" in run and run["job"] not in known:
            yield ENDED, f"run {run['job']}: {run['outcome']}, {run.get('reason', '')}".rstrip(", ")


def _trigger_changes(before: Manifest, after: Manifest) -> Iterator[tuple[str, str]]:
    for trigger in (after.get("retraining") or {}).get("triggers") or ():
        state = trigger["state"]
        if state in _WORTH_A_MARK and state != trigger_of(before, trigger["name"]).get("state"):
            yield TRIGGER, f"trigger {trigger['name']} {state}: {trigger['reason']}"


def _rollout_changes(before: Manifest, after: Manifest) -> Iterator[tuple[str, str]]:
    if (share := canary_share(after)) != canary_share(before) and share:
        yield WEIGHT, f"the new model gets {share} % of the requests"
    old, new = ((status.get("rollout") or {}).get("stable") for status in (before, after))
    if old and new and old != new:
        yield PROMOTED, f"revision {new} is promoted"


def _has_baseline(status: Manifest) -> bool:
    return bool((status.get("monitoring") or {}).get("baseline"))
