"""What is observed alike of the pods that stay: those of servers and those of routers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.controller.observe.common import time_of
from tuneloop_operator.controller.observe.containers import container_end, containers_of, unschedulable
from tuneloop_operator.controller.observe.missing_keys import with_keys
from tuneloop_operator.controller.observe.pull_secrets import with_pull_secrets
from tuneloop_operator.state.observed import LONG_AGO

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest


def common_fields(manifest: Manifest, *, own: str) -> dict[str, Any]:
    """Return the fields of an `ObservedPod`. own: the name of our container."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    containers = containers_of(status, own=own)
    last = containers.own.get("lastState") or {}
    reason, message = containers.waiting()
    return {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "created": time_of(metadata.get("creationTimestamp")) or LONG_AGO,
        "ready": any(
            found["type"] == "Ready" and found["status"] == "True" for found in status.get("conditions") or ()
        ),
        "node": (manifest.get("spec") or {}).get("nodeName"),
        "ended": container_end(containers.state.get("terminated") or last.get("terminated") or containers.failed_check),
        "waiting": reason,
        "waiting_message": with_pull_secrets(with_keys(message, manifest), reason=reason, pod=manifest),
        "unschedulable": unschedulable(status),
    }
