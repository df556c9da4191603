"""Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the present time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
