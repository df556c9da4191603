"""The system calls by which a process changes files, recorded by strace: what the kernel was asked, not what Python was.

    with recorded(folder):          # in the process itself
        save()
    changes = changes_in(folder, below=root)

A call on a file below `root` that is not understood is an error, so that no change is left out.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from required import skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Iterator

_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "strace")
_UNDERSTOOD = ("openat", "write", "fsync", "fdatasync", "rename", "unlink", "unlinkat", "mkdir", "rmdir")
_REMOVALS = {"unlink", "unlinkat", "rmdir"}
_REFUSED = (
    "open", "creat", "pwrite64", "writev", "pwritev", "pwritev2", "renameat", "renameat2", "mkdirat", "truncate", "ftruncate", "fallocate",
    "link", "linkat", "symlink", "symlinkat", "copy_file_range", "sendfile", "splice", "sync_file_range", "msync",
)  # fmt: skip
"""Calls that change files, too, and that no save makes."""
_LINE = re.compile(r"(?P<at>\d+\.\d+) (?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_DESCRIPTOR = re.compile(r"^(?:\d+|AT_FDCWD)<([^>]*)>")
_SET_PTRACER, _ANYBODY = 0x59616D61, ctypes.c_ulong(-1)
_ATTACH_SECONDS = 60.0


@dataclass(frozen=True)
class Change:
    """One call that succeeded."""

    call: str
    """create, write, fsync, rename, remove or mkdir."""
    path: Path
    """Of the file or folder; of a rename, the old name."""
    target: Path | None = None
    """Of a rename: the new name."""
    data: bytes = b""


def require_strace() -> None:
    """Install strace where it is missing and that is possible; else skip the test, or fail it where nothing may be skipped."""
    if shutil.which("strace"):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(_INSTALL, capture_output=True, check=False)
    if not shutil.which("strace"):
        skip_or_fail(f"there is no strace: {' '.join(_INSTALL)}")


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Record the calls of this process and its threads into a folder, one file for each thread."""
    ctypes.CDLL(None).prctl(_SET_PTRACER, _ANYBODY, 0, 0, 0)
    command = ["strace", "-qq", "-ff", "-ttt", "-y", "-xx", "-s", "1000000", "-o", str(folder / "calls")]
    command += ["-e", "signal=none", "-e", f"trace={','.join(_UNDERSTOOD + _REFUSED)}", "-p", str(os.getpid())]
    strace = subprocess.Popen(command)
    try:
        _wait_until_traced(strace)
        yield
    finally:
        strace.terminate()
        strace.wait()


def _wait_until_traced(strace: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _ATTACH_SECONDS
    while any(not _is_traced(task) for task in Path("/proc/self/task").iterdir()):
        assert strace.poll() is None, "strace cannot attach"
        assert time.monotonic() < deadline, f"strace has not attached within {_ATTACH_SECONDS} s"
        time.sleep(0.01)


def _is_traced(task: Path) -> bool:
    return "TracerPid:\t0\n" not in (task / "status").read_text()


def changes_in(*folders: Path, below: Path) -> list[Change]:
    """Return the recorded changes below a folder, of all processes, in order. Raises AssertionError for a call that is not understood."""
    lines = [line for folder in folders for file in folder.glob("calls.*") for line in file.read_text().splitlines()]
    found = sorted(filter(None, map(_LINE.match, lines)), key=lambda match: float(match["at"]))
    changes = [_change(match, below=str(below)) for match in found if int(match["result"]) >= 0]
    return [change for change in changes if change is not None]


def _change(match: re.Match[str], *, below: str) -> Change | None:
    call, arguments = match["call"], match["arguments"]
    texts = [_bytes(text) for text, _ in _TEXT.findall(arguments)]
    descriptor = _DESCRIPTOR.match(arguments)
    folder = Path(os.fsdecode(_bytes(descriptor[1]))) if descriptor else Path()
    names = [] if "write" in call else [os.fsdecode(text) for text in texts]
    if not any(path.startswith(below) for path in (str(folder), *names)):
        return None
    assert not any(cut for _, cut in _TEXT.findall(arguments)), "strace has shortened a text"
    assert call in _UNDERSTOOD, f"{call} changes files and is not understood: {arguments}"
    if call == "openat":
        return _created(folder / names[0], arguments)
    if call == "write":
        return Change("write", folder, data=texts[0][: int(match["result"])])
    if call in {"fsync", "fdatasync"}:
        return Change("fsync", folder)
    target = Path(names[1]) if call == "rename" else None
    return Change("remove" if call in _REMOVALS else call, folder / names[0], target=target)


def _created(path: Path, flags: str) -> Change | None:
    if not re.search(r"O_WRONLY|O_RDWR", flags):
        return None
    assert "O_TRUNC" in flags, f"a file that is opened to change a part of it: {path}"
    return Change("create", path)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
