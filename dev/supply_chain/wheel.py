"""Builds our wheel so that two builds of one commit are the same bytes.

A wheel holds the date and the mode of each file. Dates are those of the commit (SOURCE_DATE_EPOCH). Modes depend on the umask of whoever
cloned the repository, so the wheel is built from a copy in which they are set. setuptools sorts the files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "api", "operator", "trainer", "server", "cli")
"""What a wheel is made of."""
_UMASK = 0o022


class WheelError(Exception):
    """The wheel cannot be built; the message has pip's last lines."""


def tracked_files(root: Path) -> list[str]:
    """Return the files of `SOURCES` that git knows, as paths below `root`."""
    return _git(root, "ls-files", "-z", "--", *SOURCES).rstrip("\0").split("\0")


def changed_files(root: Path) -> list[str]:
    """Return the files of `SOURCES` that differ from the commit: a wheel with them is not the commit's."""
    return _git(root, "status", "--porcelain", "--", *SOURCES).splitlines()


def commit_date(root: Path) -> int:
    """Return the date of the last commit, in seconds since 1970."""
    return int(_git(root, "log", "-1", "--format=%ct"))


def build(root: Path, files: Iterable[str], *, out: Path, epoch: int) -> Path:
    """Build the wheel of these files of `root` into the folder `out` and return its path. Raises WheelError."""
    with tempfile.TemporaryDirectory() as scratch:
        # a fresh copy: setuptools takes over what an earlier build has left in `build/`
        source, built = Path(scratch) / "source", Path(scratch) / "built"
        for name in files:
            _copy(root / name, source / name)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
        ended = subprocess.run(
            [*command, "--wheel-dir", str(built), str(source)],
            env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)},
            umask=_UMASK,
            check=False,
            capture_output=True,
            text=True,
        )
        if ended.returncode != 0:
            raise WheelError(f"pip wheel ended with {ended.returncode}:\n{ended.stderr.strip()[-2000:]}")
        (wheel,) = built.glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        target = out / wheel.name
        target.write_bytes(wheel.read_bytes())
        return target


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())
    target.chmod(0o666 & ~_UMASK)


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True).stdout
