"""`tuneloop describe`: one object as a page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.kinds import note, view_of
from tuneloop_cli.views.lines import field
from tuneloop_cli.views.values import Manifest, age, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def page(manifest: Manifest, *, now: datetime, has_session: bool) -> str:
    """Return the object as an indented page. `has_session`: a session runs in the object's folder."""
    body = view_of(manifest).page(manifest, now)
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
