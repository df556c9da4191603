"""Conditions of a status as the API server stores them."""

from __future__ import annotations

from typing import Any

STAMP = "2026-01-01T12:00:00Z"


def condition(type_: str, *, true: bool = True, reason: str, message: str = "") -> dict[str, Any]:
    """Return a condition that last changed at `STAMP`."""
    return {
        "type": type_,
        "status": "True" if true else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": STAMP,
    }
