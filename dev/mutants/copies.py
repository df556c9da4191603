"""Copies of the tree in which one file is changed at a time, each with a process that runs its tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mutants.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

SHELVES = ("api", "operator", "trainer", "server", "cli")
_LINKED = (".venv", ".tuneloop", ".cluster")
"""What git ignores and tests use: the Python environment and the real data."""


@dataclass(frozen=True)
class Run:
    """How the tests ended."""

    code: int | None
    """Exit status of pytest; None if the run took longer than it may."""
    seconds: float
    failed: str
    """The first test that failed; empty if none did."""

    @property
    def is_green(self) -> bool:
        return self.code == 0

    @property
    def found_no_tests(self) -> bool:
        return self.code in {4, 5}


class Copy:
    """A copy of the tree, and the process that runs its tests. Use it as a context manager."""

    def __init__(self, root: Path, folder: Path, libraries: Sequence[str]) -> None:
        self._root, self._folder, self._libraries = root, folder, libraries
        self._writes = 0

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)
        _copy_tree(self._root, self._folder)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(self._folder / shelf) for shelf in SHELVES),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / ".hypothesis"),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), *self._libraries],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, tests: Sequence[str], *, seconds: float, sources: Sequence[str] = ()) -> Run:
        """Run those of the tests that exist, until the first failure. Which functions of the sources they call is noted."""
        existing = [test for test in tests if (self._folder / test.split("::")[0]).exists()]
        log = str(self._folder / "mutant.log")
        request = {"tests": existing, "seconds": seconds, "log": log, "sources": list(sources)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Run(**json.loads(self._process.stdout.readline()))

    def log(self) -> str:
        """Return what pytest printed in the last run."""
        return (self._folder / "mutant.log").read_text(errors="replace")

    def reach(self) -> Reach:
        """Return what the last run with `sources` noted."""
        return Reach.from_noted(json.loads((self._folder / "mutant.log.calls").read_text()))

    def write(self, file: Path, source: str) -> None:
        """Write a source file with a time that it never had: Python takes compiled code for current by time and size."""
        self._writes += 1
        path = self._folder / file
        path.write_text(source)
        time = (self._root / file).stat().st_mtime + 2 * self._writes
        os.utime(path, (time, time))


def _copy_tree(root: Path, folder: Path) -> None:
    """Copy what git knows or would add, and link what tests use besides."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = root / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    for name in _LINKED:
        if (root / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to((root / name).resolve())
