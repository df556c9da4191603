"""Answers the question of a power cut: which files would be whole afterwards? The calls themselves go to the kernel.

A file or folder is durable when its content is that of its last fsync; a name is durable when its folder has had an fsync since.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class DiskJournal:
    """Notes every fsync and every rename of this process."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._synced: dict[int, object] = {}
        """By inode: the content at the last fsync."""
        self.lost_at_rename: dict[str, list[str]] = {}
        """By new name: what of a file or folder was not durable when it got that name."""
        fsync, rename, replace = os.fsync, os.rename, os.replace

        def noted_fsync(descriptor: int) -> None:
            fsync(descriptor)
            self._synced[os.fstat(descriptor).st_ino] = _content(Path(f"/proc/self/fd/{descriptor}"))

        patch.setattr(os, "fsync", noted_fsync)
        patch.setattr(os, "rename", self._noted(rename))
        patch.setattr(os, "replace", self._noted(replace))

    def lost(self, path: Path) -> list[str]:
        """Return the names of what a power cut could take of a file, or of a folder and all below it."""
        paths = [path, *(path.rglob("*") if path.is_dir() else ())]
        return [found.name for found in paths if self._synced.get(found.stat().st_ino) != _content(found)]

    def keeps_name(self, path: Path) -> bool:
        """Tell whether a file or folder would still have its name after a power cut."""
        names = self._synced.get(path.parent.stat().st_ino)
        return isinstance(names, dict) and names.get(path.name) == path.stat().st_ino

    def _noted(self, call: Callable[..., None]) -> Callable[..., None]:
        def noted(source: Any, target: Any) -> None:
            self.lost_at_rename[Path(target).name] = self.lost(Path(source))
            call(source, target)

        return noted


def _content(path: Path) -> object:
    """Return the bytes of a file, or the inode of each name in a folder."""
    if path.is_dir():
        return {entry.name: entry.stat().st_ino for entry in path.iterdir()}
    return path.read_bytes()
