"""Opens lock files in folders that other users may write to. A planted link is not followed, and no file is emptied."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_lock(path: Path) -> IO[bytes]:
    """Open a file that is only locked, and make the file if there is none. Raises OSError (ELOOP) if its name is a link."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "r+b", buffering=0)


def own_folder(path: Path) -> Path:
    """Make a folder that only this user can use, and return its path. Raises PermissionError if another user has made the folder, or a link."""
    path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if path.is_symlink() or found.st_uid != os.getuid():
            raise PermissionError(f"{path} is a link, or belongs to another user: delete it, or set TMPDIR")
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return path
