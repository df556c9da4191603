"""Kubernetes Events (events.k8s.io/v1): what `kubectl describe` shows a person, and what the Job controller tells nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.cluster.times import micro_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest

CONTROLLER = "tuneloop.dev/operator"
_FAILED_CREATE = "FailedCreate"
_PREFIXES = ("(combined from similar events): ", "Error creating: ")
"""Before what the API server said: by the event recorder after many, and by the Job controller."""
_LONGEST_NOTE_BYTES = 1024
_LONGEST_INSTANCE = 128
_LONGEST_NAME = 240
"""The API server adds five characters, and 253 is the limit."""


def event_manifest(
    regarding: Manifest, *, kind: str, reason: str, message: str, instance: str, now: datetime
) -> dict[str, Any]:
    """Return an Event about an object. `kind`: Normal or Warning; `instance`: the pod that reports."""
    metadata = regarding["metadata"]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name'][:_LONGEST_NAME]}-", "namespace": metadata["namespace"]},
        "eventTime": micro_time(now),
        "type": kind,
        "reason": reason,
        "note": _shortened(message),
        "action": "Reconcile",
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:_LONGEST_INSTANCE],
        "regarding": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }


def failed_creates_of(uid: str) -> str:
    """Return the field selector for the Events that say why pods of this Job could not be created."""
    return f"regarding.uid={uid},reason={_FAILED_CREATE}"


def newest_refusal(events: Iterable[dict[str, Any]]) -> str:
    """Return what the API server said in the newest of these Events; empty if there is none. At most 1024 bytes, as in any Event."""
    newest = max(events, key=_last_seen, default={"note": ""})
    message: str = newest.get("note") or ""
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return message


def _last_seen(event: dict[str, Any]) -> str:
    """Return when it was last seen (RFC 3339, UTC). The Job controller writes Events of the older kind, with times of their own."""
    series = event.get("series") or {}
    seen = series.get("lastObservedTime") or event.get("deprecatedLastTimestamp") or event.get("eventTime")
    return str(seen or event["metadata"].get("creationTimestamp") or "")


def _shortened(message: str) -> str:
    """Return the message, cut where it is too long. The API server counts bytes, and so must the cut, between two characters."""
    encoded = message.encode()
    if len(encoded) <= _LONGEST_NOTE_BYTES:
        return message
    return encoded[: _LONGEST_NOTE_BYTES - len("…".encode())].decode(errors="ignore") + "…"
