"""Folders of pods outside the session's own, for unix sockets: their paths are short, and they may be in memory.

A record is a file `runtime/<pod uid>` with the folder's path, written first: what a killed session leaves is removed by the next.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_cli.local.errors import FolderUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST = 90
"""Bytes of a path. That of a unix socket has at most 107, and its name takes some."""


def make(root: Path, pod_uid: str) -> Path:
    """Return a new folder that only this user can open; `root` is the session's folder. Raises FolderUnusable."""
    path = parent(os.environ) / f"tuneloop-{secrets.token_hex(8)}"
    record = root / "runtime" / pod_uid
    record.parent.mkdir(exist_ok=True)
    record.write_text(str(path), encoding="utf-8")
    path.mkdir(mode=0o700)
    return path


def remove(root: Path, pod_uid: str) -> None:
    """Remove the folder of a pod, if it has one."""
    record = root / "runtime" / pod_uid
    with suppress(FileNotFoundError):
        shutil.rmtree(record.read_text(encoding="utf-8"), ignore_errors=True)
        record.unlink()


def remove_all(root: Path) -> None:
    """Remove the folders of all pods: none of them runs."""
    for record in root.glob("runtime/*"):
        remove(root, record.name)


def parent(environment: Mapping[str, str]) -> Path:
    """Return where folders are made: in the user's runtime directory, else where temporary files are. Raises FolderUnusable."""
    longest = LONGEST - len("/tuneloop-") - 16
    for path in _parents(environment):
        if len(os.fsencode(path)) <= longest and path.is_absolute() and os.access(path, os.W_OK | os.X_OK):
            return path
    found = ", ".join(map(str, _parents(environment)))
    raise FolderUnusable(
        f"no folder for the sockets of a router: {found}; one that can be written to and has a path of at most {longest} bytes is needed; "
        "for example TMPDIR=/tmp"
    )


def _parents(environment: Mapping[str, str]) -> Iterator[Path]:
    if own := environment.get("XDG_RUNTIME_DIR"):
        yield Path(own)
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")  # noqa: S108  (for a TMPDIR that is too long; the folder in it is this user's alone)
