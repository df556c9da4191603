"""The process that runs tests on a copy of the tree: it imports the libraries once and forks for each run.

It reads one request a line, `{"tests": […], "seconds": …, "log": …, "sources": […]}`, and answers each by a line, `{"code": …,
"seconds": …, "failed": …}`. `code` is pytest's exit status, or `null` for a run that took longer than it may. `failed`: the first test
that did. With `sources`, the functions of these folders and files that each test calls are written beside the log (`Reach`).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

_POLL_SECONDS = 0.02
_STARTS_OF_PROCESSES = frozenset({"os.fork", "os.posix_spawn", "subprocess.Popen"})
"""Audit events."""


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


class _InOrder:
    """Runs the tests of the request in its order, and no others."""

    def __init__(self, tests: list[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if any("::" in test for test in self._places):
            items[:] = sorted(
                (item for item in items if item.nodeid in self._places), key=lambda item: self._places[item.nodeid]
            )


class _Calls:
    """Notes which functions of the sources each test calls, and writes them into a file."""

    def __init__(self, sources: list[str], file: str) -> None:
        self._folder = f"{os.getcwd()}/"  # noqa: PTH109  (the texts are compared at each call)
        self._sources = tuple(self._folder + source for source in sources)
        self._file = file
        self._place = ""
        self._calls: defaultdict[str, set[str]] = defaultdict(set)
        self._elsewhere: set[str] = set()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def start(self) -> None:
        sys.addaudithook(self._audited)
        threading.settrace(self._called)
        sys.settrace(self._called)

    def _called(self, frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG002
        code = frame.f_code
        if code.co_filename.startswith(self._sources):
            self._calls[self._place].add(f"{code.co_filename.removeprefix(self._folder)}:{code.co_firstlineno}")

    def _audited(self, event: str, arguments: object) -> None:  # noqa: ARG002
        if event in _STARTS_OF_PROCESSES:
            self._elsewhere.add(self._place)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        self._place = item.nodeid.split("::", maxsplit=1)[0]
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._place = item.nodeid
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        self._place = item.nodeid.split("::", maxsplit=1)[0]
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        sys.settrace(None)
        calls = {place: sorted(functions) for place, functions in self._calls.items()}
        noted = {"calls": calls, "seconds": self._seconds, "elsewhere": sorted(self._elsewhere)}
        with open(self._file, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(noted, file)


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
        files = dict.fromkeys(test.split("::", maxsplit=1)[0] for test in request["tests"])
        options = ["-q", "-x", "--tb=short", "-p", "no:cacheprovider", "-m", "not full", *files]
        plugins: list[object] = [_FirstFailure(failed_file), _InOrder(request["tests"])]
        if request["sources"]:
            plugins.append(calls := _Calls(request["sources"], f"{request['log']}.calls"))
            calls.start()
        code = int(pytest.main(options, plugins=plugins))
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
