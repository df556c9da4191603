"""Finds the program `prometheus`: on PATH, kept by an earlier session, or fetched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_cli.local.prometheus.debian import PROGRAM, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where fetched programs are kept: in `XDG_CACHE_HOME`, or in `~/.cache`."""
    given = environ.get("XDG_CACHE_HOME", "")
    root = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return root / "tuneloop" / "prometheus"


def present_program(cache: Path) -> Path | None:
    """Return the program that is on PATH or was kept; None if it would have to be fetched."""
    if found := shutil.which(PROGRAM):
        return Path(found)
    kept = [path for path in cache.glob(f"[0-9]*/{PROGRAM}") if os.access(path, os.X_OK)]
    return max(kept, key=lambda path: path.stat().st_mtime) if kept else None


def find_program(cache: Path, *, say: Callable[[str], None]) -> Path:
    """Return the program; `say` is called before anything is fetched. Blocks. Raises NoPrometheus."""
    return present_program(cache) or unpack(cache, say=say)
