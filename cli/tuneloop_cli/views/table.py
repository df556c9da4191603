"""`tuneloop get`: the columns that `kubectl get` shows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.kinds import VIEWS, note
from tuneloop_cli.views.values import Manifest, age, at, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tuneloop_cli.kinds import CustomKind
    from tuneloop_cli.views.kind_view import KindView


def table(
    kind: CustomKind, objects: Sequence[Manifest], *, now: datetime, has_session: bool, wide: bool = False
) -> str:
    """Return the objects of one kind as an aligned table with a header. `has_session`: a session runs in their folder."""
    view = VIEWS[kind]
    added = view.wide if wide else ()
    header = ["NAME", *(name for name, _ in view.columns), "AGE", *(name for name, _ in added)]
    rows = [_row(view, manifest, now=now, wide=wide) for manifest in objects]
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = [
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [header, *rows]
    ]
    notes = ["", *(note(manifest, has_session=has_session) for manifest in objects)]
    return "\n".join(f"{line}   {noted}".rstrip() for line, noted in zip(lines, notes, strict=True))


def _row(view: KindView, manifest: Manifest, *, now: datetime, wide: bool) -> list[str]:
    metadata = manifest["metadata"]
    row = [metadata["name"], *(text(at(manifest, path)) for _, path in view.columns)]
    row.append(age(metadata.get("creationTimestamp"), now))
    return row + ([text(at(manifest, path)) for _, path in view.wide] if wide else [])
