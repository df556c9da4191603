"""The conditions of an object, as its page shows them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.lines import WIDTH, wrapped
from tuneloop_cli.views.values import Manifest, age, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def conditions(manifest: Manifest, now: datetime) -> Iterator[str]:
    """Yield a line for each condition, with its message below."""
    for condition in at(manifest, "status.conditions") or []:
        since = age(condition["lastTransitionTime"], now)
        yield f"{condition['type']:<18}{condition['status']:<9}{condition['reason']:<24}{since}".rstrip()
        yield from (f"    {line}" for line in wrapped(condition.get("message", ""), width=WIDTH - 6))
