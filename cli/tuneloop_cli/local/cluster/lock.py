"""One writer per folder: an advisory lock that the kernel releases when its holder ends. The lock file names the holder."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuneloop_cli.local.errors import FolderInUse, FolderUnusable
from tuneloop_cli.local.processes.processes import runs_since, start_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LOCK = "lock"


@contextmanager
def writer_lock(directory: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises FolderUnusable, or FolderInUse, which names the holder."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise FolderUnusable(
            f"--dir: {directory} cannot be written to ({error.strerror}): name another folder"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(_holder(directory, os.pread(descriptor, 65536, 0))) from None
        holder = {"pid": os.getpid(), "startTime": start_time(os.getpid()), "command": shlex.join(sys.argv)}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def has_session(directory: Path) -> bool:
    """Whether a session runs in the folder. Only the lock file is read: the check never keeps a session from the lock."""
    try:
        holder = json.loads((directory / LOCK).read_bytes())
    except (OSError, ValueError):  # no session ever ran, or none runs
        return False
    return runs_since(int(holder["pid"]), holder["startTime"])


def _holder(directory: Path, content: bytes) -> str:
    advice = "wait for it, end it, or use another folder (--dir)"
    try:
        holder = json.loads(content)
    except ValueError:  # the holder has not written its name yet
        return f"the folder {directory} is in use by another process: {advice}"
    return f"the folder {directory} is in use by process {holder['pid']} ({holder['command']}): {advice}"
