"""The process that runs tests on a copy of the tree: `worker.py LOG [LIBRARY…]`. It imports the libraries once and forks for each run.

It reads one request a line, `{"tests": […], "seconds": …}`, and answers each by a line, `{"code": …, "seconds": …, "failed": …}`. `code`
is pytest's exit status, negative for a run that used more processor time than it may, `null` for one that lasted much longer. `failed`: the first test that did.

`collected.py` is quicker where the change lies in a function.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = ("-q", "-x", "-s", "--tb=short", "-p", "no:cacheprovider", "-m", "not full", "-o", "timeout=0")
_POLL_SECONDS = 0.02
_MOST_WAITING = 4
"""How much longer than its processor time a run may last."""
_MOST_IDLE_SECONDS = 60.0
"""A run whose processes do not compute for so long waits for what will never come."""


class FirstFailure:
    """Writes the name of the first test that fails into a file."""

    def __init__(self, file: str) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            with open(self._file, "w", encoding="utf-8") as file:  # noqa: PTH123  (in a child that shares nothing)
                file.write(report.nodeid)


class InOrder:
    """Runs these tests in this order, and no others."""

    def __init__(self, tests: list[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._places]
        items[:] = sorted(chosen, key=lambda item: self._places[item.nodeid])


def main(log: str, *libraries: str) -> None:
    """Serve requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print must not answer
    load(libraries)
    for line in sys.stdin:
        request = json.loads(line)

        def run(tests: list[str] = request["tests"]) -> int:
            files = dict.fromkeys(test.split("::", maxsplit=1)[0] for test in tests)
            return int(pytest.main([*OPTIONS, *files], plugins=[FirstFailure(f"{log}.failed"), InOrder(tests)]))

        print(json.dumps(forked(run, log=log, seconds=request["seconds"])), file=answers, flush=True)


def load(libraries: tuple[str, ...]) -> None:
    """Import the libraries. Tests have as much time as they need: a machine that is busy must not fail them."""
    for library in libraries:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    with contextlib.suppress(ImportError):
        from hypothesis import settings  # noqa: PLC0415  (the server tests do not need it)

        settings.register_profile("mutants", deadline=None, derandomize=True, database=None)
        settings.load_profile("mutants")


def forked(run: Callable[[], int], *, log: str, seconds: float) -> dict[str, Any]:
    """Run in a child whose output goes to the log, and return the answer. seconds: of processor time; a busy machine must not end the run."""
    failed_file = f"{log}.failed"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(failed_file)  # noqa: PTH108
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 3
        try:
            os.setsid()
            redirect(log)
            if seconds != float("inf"):
                resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
            code = run()
        finally:
            sys.stdout.flush()
            os._exit(code)  # without the clean-up of the parent
    code = _wait(child, deadline=started + _MOST_WAITING * seconds)
    failed = ""
    with contextlib.suppress(FileNotFoundError), open(failed_file, encoding="utf-8") as file:  # noqa: PTH123
        failed = file.read()
    return {"code": code, "seconds": time.monotonic() - started, "failed": failed}


def redirect(log: str) -> None:
    """Let the output of this process go to the log, and its input be empty."""
    output = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _wait(child: int, *, deadline: float) -> int | None:
    """Wait for the child; kill its group, processes that it started among them, at its end, at the deadline, or when it only waits."""
    code: int | None = None
    ticks, computed, looked = -1, time.monotonic(), 0.0
    while (now := time.monotonic()) < deadline and now < computed + _MOST_IDLE_SECONDS:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        if now > looked + 1:
            looked = now
            if (newest := _ticks(child)) != ticks:
                ticks, computed = newest, now
        time.sleep(_POLL_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return code


def _ticks(session: int) -> int:
    """Return the processor time of the processes of a session, in clock ticks. Source: proc_pid_stat(5)."""
    total = 0
    for process in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with contextlib.suppress(OSError), open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            fields = file.read().rsplit(")", 1)[-1].split()
            total += int(fields[11]) + int(fields[12]) if int(fields[3]) == session else 0
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
