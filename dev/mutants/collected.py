"""The process that has collected the tests: `collected.py LOG SOURCES TESTS LIBRARIES`, each of the last three a JSON list.

It forks for each run. The child takes the changed function into the loaded modules, so that nothing is imported or collected again: most runs
take less than a second. Requests and answers are as those of `worker.py`; besides, a request may have `file` and `source` of the changed
module. The first answer tells which functions of the sources each test calls (`Reach`), if the tests are green without a change.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections import defaultdict
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TextIO

import pytest
import worker
from starts import starts_a_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

NOT_SWAPPABLE = 99
"""Exit status: the changed function has other variables of its surroundings."""


class Calls:
    """Notes which functions of the sources are called while tests are collected, and which ones by each test."""

    def __init__(self, sources: list[str]) -> None:
        self._folder = f"{os.getcwd()}/"  # noqa: PTH109  (the texts are compared at each call)
        self._sources = tuple(self._folder + source for source in sources)
        self._place = ""
        self._known: set[int] = set()
        """The code objects that were called at this place."""
        self._calls: defaultdict[str, set[str]] = defaultdict(set)
        self._elsewhere: set[str] = set()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def start(self) -> None:
        threading.settrace(self._called)
        sys.settrace(self._called)

    def stop(self) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]

    def _called(self, frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG002
        code = frame.f_code
        if id(code) in self._known:  # this is called millions of times
            return
        self._known.add(id(code))
        if code.co_filename.startswith(self._sources):
            self._calls[self._place].add(f"{code.co_filename.removeprefix(self._folder)}:{code.co_firstlineno}")

    def _enter(self, place: str) -> None:
        self._place, self._known = place, set()

    def audited(self, event: str, arguments: tuple[object, ...]) -> None:
        if starts_a_process(event, arguments):
            self._elsewhere.add(self._place)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        self._enter(item.nodeid.split("::", maxsplit=1)[0])
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._enter(item.nodeid)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        self._enter(item.nodeid.split("::", maxsplit=1)[0])
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def noted(self) -> dict[str, Any]:
        calls = {place: sorted(functions) for place, functions in self._calls.items()}
        return {"calls": calls, "seconds": self._seconds, "elsewhere": sorted(self._elsewhere)}


class Server:
    """Answers requests in the place of pytest's loop over the tests."""

    def __init__(self, log: str, calls: Calls, requests: TextIO, answers: TextIO) -> None:
        self._log, self._calls, self._requests, self._answers = log, calls, requests, answers
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._calls.stop()
        self._answer(worker.forked(lambda: self._traced(session), log=self._log, seconds=float("inf")))
        for line in self._requests:
            request = json.loads(line)
            self._answer(
                worker.forked(lambda: self._changed(session, request), log=self._log, seconds=request["seconds"])  # noqa: B023  (run at once)
            )
        return True

    def _answer(self, answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=self._answers, flush=True)

    def _traced(self, session: pytest.Session) -> int:
        session.config.pluginmanager.register(self._calls)
        sys.addaudithook(self._calls.audited)
        self._calls.start()
        code = self._run(session.items)
        self._calls.stop()
        with open(f"{self._log}.calls", "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(self._calls.noted(), file)
        return code

    def _changed(self, session: pytest.Session, request: dict[str, Any]) -> int:
        items = {item.nodeid: item for item in session.items}
        try:
            swap(os.path.abspath(request["file"]), request["source"])  # noqa: PTH100
        except ValueError:
            return NOT_SWAPPABLE
        return self._run([items[test] for test in request["tests"]])

    def _run(self, items: list[pytest.Item]) -> int:
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return 1
        return 0


def swap(file: str, source: str) -> None:
    """Give the loaded functions of a file the code of this source. Raises ValueError where a closure needs other variables."""
    codes: dict[tuple[str, int], CodeType] = {}
    waiting = [compile(source, file, "exec")]
    while waiting:
        inner = [constant for constant in waiting.pop().co_consts if isinstance(constant, CodeType)]
        codes |= {(code.co_qualname, code.co_firstlineno): code for code in inner}
        waiting += inner
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == file:
            old = function.__code__
            function.__code__ = codes.get((old.co_qualname, old.co_firstlineno), old)


def main(log: str, sources: str, tests: str, libraries: str) -> None:
    """Collect the tests, then serve requests until the input ends."""
    requests, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    worker.redirect(log)
    worker.load(tuple(json.loads(libraries)))
    calls = Calls(json.loads(sources))
    calls.start()
    server = Server(log, calls, requests, answers)
    pytest.main([*worker.OPTIONS, *json.loads(tests)], plugins=[worker.FirstFailure(f"{log}.failed"), server])


if __name__ == "__main__":
    main(*sys.argv[1:])
