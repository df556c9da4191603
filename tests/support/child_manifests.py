"""Jobs, pods and other children as the API server stores them, for tests of how the operator observes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LABELS = {"tuneloop.dev/job": "reviews", "tuneloop.dev/stage": "train", "tuneloop.dev/attempt": "3"}
JOB_OWNERS = [{"kind": "Job", "name": "other", "uid": "u-other"}, {"kind": "Job", "name": "reviews-a3", "uid": "u-a3", "controller": True}]  # fmt: skip


def at(seconds: int) -> datetime:
    """Return the time so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def stamp(seconds: int = 0) -> str:
    """Return the time so many seconds after noon as manifests write times."""
    return at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def bare(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    """Return an object of attempt 3 of the job `reviews`, with metadata only."""
    named = {"name": name, "namespace": "team-a", "uid": f"u-{name}", "labels": LABELS, "ownerReferences": JOB_OWNERS}
    return {"apiVersion": "v1", "kind": kind, "metadata": named | metadata}
