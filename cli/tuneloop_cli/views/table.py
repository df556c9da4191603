"""`tuneloop get`: the columns that `kubectl get` shows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.values import Manifest, age, at, note, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "FineTuneJob": (
        ("PHASE", "status.phase"),
        ("PROGRESS", "status.progress.percent"),
        ("STEP", "status.progress.step"),
        ("LOSS", "status.progress.loss"),
        ("ETA", "status.progress.eta"),
        ("WORKERS", "status.workers"),
        ("RESTARTS", "status.restarts.total"),
    ),
    "ModelDeployment": (
        ("PHASE", "status.phase"),
        ("STABLE", "status.stable.revision"),
        ("READY", "status.ready"),
    ),
}
WIDE: dict[str, tuple[tuple[str, str], ...]] = {
    "FineTuneJob": (("FAILURE", "status.failure.class"), ("ARTIFACT", "status.artifact.uri")),
    "ModelDeployment": (("URL", "status.url"),),
}


def table(kind: str, objects: Sequence[Manifest], *, now: datetime, has_session: bool, wide: bool = False) -> str:
    """Return the objects of one kind as an aligned table with a header; `has_session`: whether a process works on their folder."""
    columns = COLUMNS[kind] + (WIDE[kind] if wide else ())
    header = ["NAME", *(name for name, _ in COLUMNS[kind]), "AGE", *(name for name, _ in columns[len(COLUMNS[kind]) :])]
    rows = [_row(kind, each, now=now, wide=wide) for each in objects]
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = [
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [header, *rows]
    ]
    notes = ["", *(note(each, has_session=has_session) for each in objects)]
    return "\n".join(f"{line}   {said}".rstrip() for line, said in zip(lines, notes, strict=True))


def _row(kind: str, manifest: Manifest, *, now: datetime, wide: bool) -> list[str]:
    metadata = manifest["metadata"]
    row = [metadata["name"], *(text(at(manifest, path)) for _, path in COLUMNS[kind])]
    row.append(age(metadata.get("creationTimestamp"), now))
    return row + ([text(at(manifest, path)) for _, path in WIDE[kind]] if wide else [])
