"""Copies of the tree in which one file is changed at a time, each with a process that runs its tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mutants.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from mutants.packages import Package

SHELVES = ("api", "operator", "trainer", "server", "cli")
_LINKED = (".venv", ".tuneloop", ".cluster")
"""What git ignores and tests use: the Python environment and the real data."""
_NOT_SWAPPABLE = 99
"""Exit status of `collected.py`."""


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


class _Process:
    """A process that answers each request with the end of a run. It is started with the first request."""

    def __init__(self, folder: Path, script: str, *arguments: str) -> None:
        self._folder = folder
        self._command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
        self._process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any] | None) -> Run:
        if self._process is None:
            self._process = self._started()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if request is not None:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        return Run(**json.loads(answer)) if answer else Run(code=3, seconds=0.0, failed="the collection of the tests")

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _started(self) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(self._folder / shelf) for shelf in SHELVES),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / ".hypothesis"),
        }
        return subprocess.Popen(
            self._command, cwd=self._folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )


class Copy:
    """A copy of the tree, and the processes that run its tests. Use it as a context manager."""

    def __init__(self, root: Path, folder: Path, package: Package) -> None:
        self._root, self._folder, self._package = root, folder, package
        self._writes = 0
        self._log = str(folder / "mutant.log")
        self._collected = _Process(
            folder, "collected.py", self._log, *map(json.dumps, (package.sources, package.tests, package.libraries))
        )
        self._worker = _Process(folder, "worker.py", self._log, *package.libraries)

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)
        _copy_tree(self._root, self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._collected.end()
        self._worker.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def collect(self) -> Run:
        """Run all tests of the package without a change."""
        return self._collected.ask(None)

    def reach(self) -> Reach:
        """Return what that run noted."""
        return Reach.from_noted(json.loads(Path(f"{self._log}.calls").read_text()))

    def run(self, tests: Sequence[str], *, seconds: float, file: Path, source: str, is_swappable: bool) -> Run:
        """Run the tests with a changed file, until the first failure. is_swappable: whether the change lies in a function."""
        original = (self._root / file).read_text()
        request = {"tests": tests, "seconds": seconds, "file": str(file), "source": source}
        self._write(file, source)
        try:
            run = self._collected.ask(request) if is_swappable else None
            return run if run is not None and run.code != _NOT_SWAPPABLE else self._worker.ask(request)
        finally:
            self._write(file, original)

    def log(self) -> str:
        """Return what pytest printed in the last run."""
        return Path(self._log).read_text(errors="replace")

    def _write(self, file: Path, source: str) -> None:
        """Write a source file with a time that it never had: Python takes compiled code for current by time and size."""
        self._writes += 1
        path = self._folder / file
        path.write_text(source)
        time = (self._root / file).stat().st_mtime + 2 * self._writes
        os.utime(path, (time, time))


def _copy_tree(root: Path, folder: Path) -> None:
    """Copy the files that git tracks or would add, and link the other files that tests use."""
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
