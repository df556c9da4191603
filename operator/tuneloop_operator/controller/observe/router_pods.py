"""The observation of the pods beside the servers of a ModelDeployment: its routers and its comparator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.controller.observe.local_ports import local_port
from tuneloop_operator.controller.observe.steady_pods import common_fields
from tuneloop_operator.names import COMPARATOR, COMPARATOR_CONTAINER, COMPONENT_LABEL, ROUTER, ROUTER_CONTAINER
from tuneloop_operator.state.observed import ComparatorPod, RouterPod

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_operator.cluster import Manifest


def router_pods(children: Iterable[Manifest]) -> tuple[RouterPod, ...]:
    """Return the pods of routers that stay."""
    views = [RouterPod(**common_fields(child, own=ROUTER_CONTAINER)) for child in _staying(children, ROUTER)]
    return tuple(sorted(views, key=lambda pod: pod.name))


def comparator_pods(children: Iterable[Manifest]) -> tuple[ComparatorPod, ...]:
    """Return the pods of the comparator that stay."""
    views = [
        ComparatorPod(**common_fields(child, own=COMPARATOR_CONTAINER), port=local_port(child))
        for child in _staying(children, COMPARATOR)
    ]
    return tuple(sorted(views, key=lambda pod: pod.name))


def _staying(children: Iterable[Manifest], component: str) -> Iterator[Manifest]:
    """Yield the pods of a component that stay. One that was evicted, or has ended otherwise, is there for long, and does nothing any more."""
    for child in children:
        if (
            child["kind"] == "Pod"
            and child["metadata"]["labels"].get(COMPONENT_LABEL) == component
            and "deletionTimestamp" not in child["metadata"]
            and (child.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
        ):
            yield child
