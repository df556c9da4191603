"""The API server's MicroTime."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def micro_time(moment: datetime) -> str:
    """Return a time as MicroTime: RFC 3339 in UTC, with exactly six digits after the second."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
