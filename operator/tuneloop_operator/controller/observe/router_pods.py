"""The observation of the routers of a ModelDeployment: their pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.controller.observe.steady_pods import common_fields
from tuneloop_operator.names import COMPONENT_LABEL, ROUTER, ROUTER_CONTAINER
from tuneloop_operator.state.observed import RouterPod

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.cluster import Manifest


def router_pods(children: Iterable[Manifest]) -> tuple[RouterPod, ...]:
    """Return the pods that stay. One that was evicted, or has ended otherwise, is there for long, and divides no request any more."""
    views = [
        RouterPod(**common_fields(child, own=ROUTER_CONTAINER))
        for child in children
        if child["kind"] == "Pod"
        and child["metadata"]["labels"].get(COMPONENT_LABEL) == ROUTER
        and "deletionTimestamp" not in child["metadata"]
        and (child.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    ]
    return tuple(sorted(views, key=lambda pod: pod.name))
