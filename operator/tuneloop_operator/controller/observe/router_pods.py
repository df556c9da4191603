"""The observation of the routers of a ModelDeployment: their pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.controller.observe.common import time_of
from tuneloop_operator.controller.observe.containers import container_end, containers_of, unschedulable
from tuneloop_operator.controller.observe.pull_secrets import with_pull_secrets
from tuneloop_operator.names import COMPONENT_LABEL, ROUTER, ROUTER_CONTAINER
from tuneloop_operator.state.observed import LONG_AGO, RouterPod

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.cluster import Manifest


def router_pods(children: Iterable[Manifest]) -> tuple[RouterPod, ...]:
    """Return the pods that stay. One that was evicted, or has ended otherwise, is there for long, and divides no request any more."""
    views = [
        _view(child)
        for child in children
        if child["kind"] == "Pod"
        and child["metadata"]["labels"].get(COMPONENT_LABEL) == ROUTER
        and "deletionTimestamp" not in child["metadata"]
        and (child.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    ]
    return tuple(sorted(views, key=lambda pod: pod.name))


def _view(manifest: Manifest) -> RouterPod:
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    containers = containers_of(status, own=ROUTER_CONTAINER)
    last = containers.own.get("lastState") or {}
    reason, message = containers.waiting()
    return RouterPod(
        name=metadata["name"],
        uid=metadata["uid"],
        created=time_of(metadata.get("creationTimestamp")) or LONG_AGO,
        ready=any(found["type"] == "Ready" and found["status"] == "True" for found in status.get("conditions") or ()),
        ended=container_end(containers.state.get("terminated") or last.get("terminated")),
        waiting=reason,
        waiting_message=with_pull_secrets(message, reason=reason, pod=manifest),
        unschedulable=unschedulable(status),
    )
