"""The training log: JSON lines, one for each step, each evaluation and each new finding, one clean curve over all restarts."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG = logging.getLogger(__name__)


class TrainLog:
    """Appends lines to `train.jsonl`. A number is written so that reading it back gives the same bits (repr)."""

    def __init__(self, path: Path, *, step: int, evaluated_step: int) -> None:
        """Open the log for a run that goes on after `step` steps, and cut what a broken attempt wrote beyond that point.

        The evaluation of step `evaluated_step` and those before it stay; a later one is made again.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        kept = _kept_lines(path, step=step, evaluated_step=evaluated_step)
        no_result = path.with_suffix(".tmp")
        no_result.write_bytes(b"".join(kept))
        no_result.replace(path)
        self._file = path.open("ab", buffering=0)
        self._unwritten = b""
        """What the disk has not taken yet; it may begin within a line, so that what is in the file is always a beginning of the log."""
        self._refused = False

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what the log holds, oldest first."""
        with self._path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def write(self, **line: float | str | None) -> None:
        """Append one line. What a full or faulty disk refuses is told once, kept, and written before the next line."""
        self._unwritten += json.dumps(line).encode() + b"\n"
        try:
            self._catch_up()
        except OSError as error:
            if not self._refused:
                LOG.warning("%s: %s; training goes on, and the lines are kept for later", self._path, error.strerror)
            self._refused = True
        else:
            self._refused = False

    def close(self) -> None:
        """Write what the disk has refused so far once more, and close the file."""
        try:
            with self._file:
                self._catch_up()
        except OSError as error:
            LOG.warning("%s: %s; its last lines may be missing", self._path, error.strerror)

    def _catch_up(self) -> None:
        while self._unwritten:
            self._unwritten = self._unwritten[self._file.write(self._unwritten) :]


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
