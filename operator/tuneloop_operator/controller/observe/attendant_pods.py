"""The observation of what stands beside the servers of a ModelDeployment: the pods of its routers and of its comparator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.controller.observe.local_ports import local_port
from tuneloop_operator.controller.observe.steady_pods import common_fields
from tuneloop_operator.names import COMPARATOR, COMPARATOR_CONTAINER, COMPONENT_LABEL, ROUTER, ROUTER_CONTAINER
from tuneloop_operator.state.observed import ComparatorPod, RouterPod

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_operator.cluster import Manifest


def router_pods(children: Iterable[Manifest], *, mount_failures: Mapping[str, str]) -> tuple[RouterPod, ...]:
    """Return the pods of routers that stay, by name. mount_failures: what was read of them, by uid."""
    pods = _staying(children, component=ROUTER)
    return tuple(
        RouterPod(
            **common_fields(pod, own=ROUTER_CONTAINER), mount_failure=mount_failures.get(pod["metadata"].get("uid", ""))
        )
        for pod in pods
    )


def comparator_pods(children: Iterable[Manifest]) -> tuple[ComparatorPod, ...]:
    """Return the pods of the comparator that stay, by name."""
    pods = _staying(children, component=COMPARATOR)
    return tuple(ComparatorPod(**common_fields(pod, own=COMPARATOR_CONTAINER), port=local_port(pod)) for pod in pods)


def _staying(children: Iterable[Manifest], *, component: str) -> list[Manifest]:
    """Return the pods that stay. One that was evicted, or has ended otherwise, is there for long, and does nothing any more."""
    pods = [
        child
        for child in children
        if child["kind"] == "Pod"
        and child["metadata"]["labels"].get(COMPONENT_LABEL) == component
        and "deletionTimestamp" not in child["metadata"]
        and (child.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    ]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
