"""Which tests reach a change: those that call the function around the changed line. All others would pass with the change, too."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Reach:
    """What the worker noted in the run without a change."""

    calls: dict[str, frozenset[str]]
    """Called functions, as `file:line`, by test, by test file (calls of fixtures), and by the empty text (calls while tests are collected)."""
    seconds: dict[str, float]
    """Duration of each test."""
    elsewhere: frozenset[str]
    """Tests and test files that start processes, whose calls are not noted."""

    @classmethod
    def from_noted(cls, noted: dict[str, Any]) -> Self:
        """Return what the worker's file holds."""
        calls = {place: frozenset(functions) for place, functions in noted["calls"].items()}
        return cls(calls=calls, seconds=noted["seconds"], elsewhere=frozenset(noted["elsewhere"]))

    def tests_of(self, file: Path, line: int, *, source: str, first: Sequence[str]) -> list[str]:
        """Return the tests that reach this line, file by file: the files of `first`, then the quickest."""
        function = function_around(source, line)
        called = f"{file}:{function}"
        found = [test for test in self.seconds if function is None or self._calls(test, called)]
        totals: dict[str, float] = defaultdict(float)
        for test in found:
            totals[_file_of(test)] += self.seconds[test]
        ranks = {name: rank for rank, name in enumerate(first)}
        files = sorted(totals, key=lambda name: (ranks.get(name, len(ranks)), totals[name]))
        order = {name: place for place, name in enumerate(files)}
        return sorted(found, key=lambda test: order[_file_of(test)])

    def is_called_late(self, file: Path, line: int, *, source: str) -> bool:
        """Whether the line stands in a function that is not called before the tests run."""
        function = function_around(source, line)
        return function is not None and f"{file}:{function}" not in self.calls.get("", ())

    def _calls(self, test: str, function: str) -> bool:
        places = (test, _file_of(test))
        return any(place in self.elsewhere or function in self.calls.get(place, ()) for place in ("", *places))


def function_around(source: str, line: int) -> int | None:
    """Return the first line of the innermost function whose body holds the line, as code objects count it; None outside of functions."""
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body[0].lineno <= line <= (node.end_lineno or line)
    ]
    innermost = max(functions, key=lambda node: node.lineno, default=None)
    return innermost and min(part.lineno for part in (innermost, *innermost.decorator_list))


def _file_of(test: str) -> str:
    return test.split("::", maxsplit=1)[0]
