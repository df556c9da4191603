"""`logs`: prints the files that the process agent writes, one a pod."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from tuneloop_cli.exits import Exit, TuneloopExit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGES = ("prepare", "train", "export", "serve")
FOLLOW_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class PodLog:
    """The log of one pod."""

    path: Path
    stage: str
    changed: float
    """When the last line came, seconds since the epoch."""


def logs_of(name: str, folder: Path) -> list[PodLog]:
    """Return the logs of a job or deployment, the newest last."""
    patterns = {
        "prepare": rf"{name}-prepare-[a-z0-9]+",
        "train": rf"{name}-a[0-9]+-[0-9]+-[a-z0-9]+",
        "export": rf"{name}-export-[a-z0-9]+",
        "serve": rf"{name}-(?!prepare-|export-|a[0-9]+-)[a-z0-9]+-[a-z0-9-]+",
    }
    found = [
        PodLog(path=path, stage=stage, changed=path.stat().st_mtime)
        for path in folder.glob("logs/*/*.log")
        for stage, pattern in patterns.items()
        if re.fullmatch(pattern, path.stem)
    ]
    return sorted(found, key=lambda log: log.changed)


def print_logs(name: str, *, folder: Path, stage: str | None, follow: bool) -> None:
    """Print the logs of one stage, pod after pod; `follow` goes on with new lines."""
    if stage is not None and stage not in STAGES:
        raise TuneloopExit(Exit.BAD_INPUT, f"--stage: {stage!r} is not allowed; must be one of {', '.join(STAGES)}")
    logs = logs_of(name, folder)
    wanted = stage or (logs[-1].stage if logs else "")
    chosen = [log for log in logs if log.stage == wanted]
    if not chosen:
        raise TuneloopExit(
            Exit.FAILED, f"no log of {name!r}{f' for stage {stage}' if stage else ''} in {folder / 'logs'}"
        )
    for log in chosen:
        if len(chosen) > 1:
            print(f"==> {log.path.stem} <==")
        print(log.path.read_text(encoding="utf-8", errors="replace"), end="")
    if follow:
        _follow([log.path for log in chosen])


def _follow(paths: list[Path]) -> None:
    files = [path.open(encoding="utf-8", errors="replace") for path in paths]
    for file in files:
        file.seek(0, 2)
    while True:
        for line in (line for file in files for line in _new_lines(file)):
            print(line, end="", flush=True)
        time.sleep(FOLLOW_SECONDS)


def _new_lines(file: TextIO) -> Iterator[str]:
    while line := file.readline():
        yield line
