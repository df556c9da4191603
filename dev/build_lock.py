"""A lock between the processes of this machine that build into the same cache."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lock_file import open_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path, *, say: Callable[[str], None]) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel releases the lock when its holder ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_lock(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another build is under way, waiting for it ({path})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
