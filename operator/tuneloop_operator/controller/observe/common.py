"""What the observations of all kinds share."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuneloop_operator.cluster.owners import owner_uid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.cluster import Manifest


def present_children(children: Iterable[Manifest], *, uid: str) -> dict[tuple[Any, str], Manifest]:
    """Return the children of the owner with this uid by kind and name, except Jobs and pods, which have views of their own."""
    return {
        (child["kind"], child["metadata"]["name"]): child
        for child in children
        if child["kind"] not in {"Job", "Pod"} and owner_uid(child) == uid
    }


def time_of(text: str | None) -> datetime | None:
    """Return the time in a text of the API server (RFC 3339)."""
    return datetime.fromisoformat(text) if text else None
