"""The training log: JSON lines, one for each step, each evaluation and each new finding, one clean curve over all restarts."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TrainLog:
    """Appends lines to `train.jsonl`. A number is written so that reading it back gives the same bits (repr)."""

    def __init__(self, path: Path, *, step: int, evaluated_step: int) -> None:
        """Open the log for a run that goes on after `step` steps, and cut what a broken attempt wrote beyond that point.

        The evaluation of step `evaluated_step` and those before it stay; a later one is made again.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        kept = _kept_lines(path, step=step, evaluated_step=evaluated_step)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_bytes(b"".join(kept))
        unfinished.replace(path)
        self._file: IO[str] = path.open("a", encoding="utf-8", buffering=1)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what the log holds, oldest first."""
        with self._path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def write(self, **line: float | str | None) -> None:
        """Append one line."""
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file; every line is in it already."""
        self._file.close()


def _kept_lines(path: Path, *, step: int, evaluated_step: int) -> list[bytes]:
    if not path.exists():
        return []
    limits = {"step": step, "evaluation": evaluated_step, "finding": evaluated_step}
    return [line for line in path.read_bytes().splitlines(keepends=True) if _stays(line, limits)]


def _stays(line: bytes, limits: dict[str, int]) -> bool:
    """A line that a killed process left half written does not stay."""
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and entry["step"] <= limits[entry["kind"]]
