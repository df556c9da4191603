"""Conditions of a status as the API server stores them."""

from __future__ import annotations

from typing import Any

STAMP = "2026-01-01T12:00:00Z"
FOR_TOOLS = frozenset({"Ready", "Reconciling", "Stalled", "Suspended"})
"""Types of the conditions of a FineTuneJob that repeat its phase for tools."""


def condition(type_: str, *, true: bool = True, reason: str, message: str = "") -> dict[str, Any]:
    """Return a condition that last changed at `STAMP`."""
    return {
        "type": type_,
        "status": "True" if true else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": STAMP,
    }


def without_tools(status: dict[str, Any]) -> dict[str, Any]:
    """Return a status of a FineTuneJob without the conditions for tools, and without `conditions` if it has no others."""
    others = [found for found in status.get("conditions", ()) if found["type"] not in FOR_TOOLS]
    kept = {name: value for name, value in status.items() if name != "conditions"}
    return kept | ({"conditions": others} if others else {})
