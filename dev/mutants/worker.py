"""The process that runs tests on a copy of the tree: it imports the libraries once and forks for each run.

It reads one request a line, `{"tests": […], "seconds": …, "log": …}`, and answers each by a line, `{"code": …, "seconds": …,
"failed": …}`. `code` is pytest's exit status, or `null` for a run that took longer than it may. `failed`: the first test that did.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_POLL_SECONDS = 0.02


class _FirstFailure:
    """Writes the name of the first test that fails into a file."""

    def __init__(self, file: Path | str) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            with open(self._file, "w", encoding="utf-8") as file:  # noqa: PTH123  (in a child that shares nothing)
                file.write(report.nodeid)


def main(libraries: list[str]) -> None:
    """Serve requests until the input ends."""
    for library in libraries:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    failed_file = f"{request['log']}.failed"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(failed_file)  # noqa: PTH108
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(request, failed_file)
    code = _wait(child, deadline=started + request["seconds"])
    failed = ""
    with contextlib.suppress(FileNotFoundError), open(failed_file, encoding="utf-8") as file:  # noqa: PTH123
        failed = file.read()
    return {"code": code, "seconds": time.monotonic() - started, "failed": failed}


def _run(request: dict[str, Any], failed_file: str) -> NoReturn:
    """Run the tests in this process, a group of its own, and end it without the clean-up of the parent."""
    os.setsid()
    log = os.open(request["log"], os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 3
    try:
        options = ["-q", "-x", "--tb=short", "-p", "no:cacheprovider", "-m", "not full", *request["tests"]]
        code = int(pytest.main(options, plugins=[_FirstFailure(failed_file)]))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _wait(child: int, *, deadline: float) -> int | None:
    """Wait for the child; kill its group, processes that it started among them, at its end or at the deadline."""
    code: int | None = None
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(_POLL_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return code


if __name__ == "__main__":
    main(sys.argv[1:])
