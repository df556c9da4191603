"""`tuneloop describe`: one object as a page that tells its story. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.job_page import conditions, job_page
from tuneloop_cli.views.lines import field, pairs, section
from tuneloop_cli.views.values import Manifest, age, at, note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def page(manifest: Manifest, *, now: datetime, has_session: bool) -> str:
    """Return the object as an indented page; `has_session`: whether a process works on its folder."""
    body = job_page(manifest, now) if manifest["kind"] == "FineTuneJob" else _deployment(manifest, now)
    return "\n".join(line for line in (*_head(manifest, now, has_session=has_session), *body) if line)


def _head(manifest: Manifest, now: datetime, *, has_session: bool) -> Iterator[str]:
    metadata = manifest["metadata"]
    yield field("Name", metadata["name"])
    yield field("Namespace", metadata.get("namespace", "default"))
    yield field("Kind", manifest["kind"])
    yield field("Age", age(metadata.get("creationTimestamp"), now))
    yield field("Overlay", metadata.get("annotations", {}).get("tuneloop.dev/overlay"))
    phase = at(manifest, "status.phase")
    yield field("Phase", phase and f"{phase} {note(manifest, has_session=has_session)}".rstrip())


def _deployment(manifest: Manifest, now: datetime) -> Iterator[str]:
    yield field("Ready", at(manifest, "status.ready"))
    yield field("URL", at(manifest, "status.url"))
    yield from section("Stable", pairs(at(manifest, "status.stable")))
    yield from section("Conditions", conditions(manifest, now))
