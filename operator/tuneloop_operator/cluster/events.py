"""Kubernetes Events (events.k8s.io/v1): what `kubectl describe` shows a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.cluster.times import micro_time

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest

CONTROLLER = "tuneloop.dev/operator"
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


def _shortened(message: str) -> str:
    """Return the message, cut where it is too long. The API server counts bytes, and so must the cut, between two characters."""
    encoded = message.encode()
    if len(encoded) <= _LONGEST_NOTE_BYTES:
        return message
    return encoded[: _LONGEST_NOTE_BYTES - len("…".encode())].decode(errors="ignore") + "…"
