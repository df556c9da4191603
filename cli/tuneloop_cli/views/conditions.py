"""The conditions of an object, as its page shows them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.lines import WIDTH, wrapped
from tuneloop_cli.views.values import Manifest, age, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


FOR_TOOLS = frozenset({"Reconciling", "Stalled"})
"""Types of conditions that only repeat others, for tools that deploy to clusters."""


def conditions(manifest: Manifest, now: datetime, *, without: frozenset[str] = FOR_TOOLS) -> Iterator[str]:
    """Yield a line for each condition, with its message below. without: the types that are left out."""
    shown = [found for found in at(manifest, "status.conditions") or [] if found["type"] not in without]
    for condition in shown:
        since = age(condition["lastTransitionTime"], now)
        yield f"{condition['type']:<18}{condition['status']:<9}{condition['reason']:<24}{since}".rstrip()
        yield from (f"    {line}" for line in wrapped(condition.get("message", ""), width=WIDTH - 6))
