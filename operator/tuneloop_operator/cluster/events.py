"""Kubernetes Events (events.k8s.io/v1): `kubectl describe` shows them, and only they say why a pod could not be created, or its volumes not mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.printable import printable
from tuneloop_operator.cluster.times import micro_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest

CONTROLLER = "tuneloop.dev/operator"
_FAILED_CREATE = "FailedCreate"
_FAILED_MOUNTS = frozenset({"FailedMount", "FailedAttachVolume"})
_PREFIXES = ("(combined from similar events): ", "Error creating: ")
"""What stands before the message of the API server: the first from the event recorder after many events, the second from the Job controller."""
_LONGEST_NOTE_BYTES = 1024
_LONGEST_INSTANCE = 128
_LONGEST_NAME = 240
"""The API server appends five characters, an Event with a name of its own has 13 more, and 253 is the limit."""
_NAME_DIGITS = 12


def event_manifest(
    regarding: Manifest, *, kind: str, reason: str, message: str, instance: str, now: datetime, is_named: bool = False
) -> dict[str, Any]:
    """Return an Event about an object. `kind`: Normal or Warning; `instance`: the pod that reports it.

    is_named: its name follows from the object and from what happened when, so that it is one Event however often it is created.
    """
    metadata = regarding["metadata"]
    prefix = metadata["name"][:_LONGEST_NAME]
    digest = digest_of([metadata["uid"], reason, message, micro_time(now)])[:_NAME_DIGITS]
    name = {"name": f"{prefix}.{digest}"} if is_named else {"generateName": f"{prefix}-"}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": name | {"namespace": metadata["namespace"]},
        "eventTime": micro_time(now),
        "type": kind,
        "reason": reason,
        "note": _shortened(printable(message)),
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


def events_of(uid: str) -> str:
    """Return the field selector for all Events about this pod."""
    return f"regarding.uid={uid}"


def mount_failure(events: Iterable[dict[str, Any]]) -> str:
    """Return why a volume cannot be mounted, by all Events about a pod; empty if the pod got further since, as when its image is pulled.

    The kubelet tries again, and first failures are common: the pod may be younger than the kubelet's copy of a ConfigMap.
    """
    newest = max(
        events, key=lambda event: (_last_observed(event), event.get("reason") not in _FAILED_MOUNTS), default={}
    )
    return newest_message([newest]) if newest.get("reason") in _FAILED_MOUNTS else ""


def newest_message(events: Iterable[dict[str, Any]]) -> str:
    """Return the message in the newest of these Events, of the API server or the kubelet; empty if there is none. An Event holds at most 1024 bytes."""
    newest = max(events, key=_last_observed, default={"note": ""})
    message: str = newest.get("note") or ""
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return message


def _last_observed(event: dict[str, Any]) -> str:
    """Return when the event was last observed (RFC 3339, UTC). The Job controller writes Events of the older API, with other times."""
    series = event.get("series") or {}
    last = series.get("lastObservedTime") or event.get("deprecatedLastTimestamp") or event.get("eventTime")
    return str(last or event["metadata"].get("creationTimestamp") or "")


def _shortened(message: str) -> str:
    """Return the message, cut between two characters if it has too many bytes: the API server limits bytes."""
    encoded = message.encode()
    if len(encoded) <= _LONGEST_NOTE_BYTES:
        return message
    return encoded[: _LONGEST_NOTE_BYTES - len("…".encode())].decode(errors="ignore") + "…"
