"""Which tests the mutation tool runs for a change, and how the change comes into a process that has loaded the module."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import mutants
import pytest
from mutants.reach import Reach, function_around

SOURCE = '''LIMIT = 3

@decorated
def outer(a, b=LIMIT):
    """Text."""
    def inner():
        return a
    return inner

class Kind:
    size = 4
    def method(self):
        return self.size
'''
REACH = Reach(
    calls={
        "": frozenset({"f.py:9"}),
        "t/test_a.py::one": frozenset({"f.py:3"}),
        "t/test_a.py::two": frozenset({"f.py:12"}),
        "t/test_b.py": frozenset({"f.py:3"}),
    },
    seconds={"t/test_a.py::one": 5.0, "t/test_a.py::two": 1.0, "t/test_b.py::three": 0.1, "t/test_c.py::four": 0.2},
    elsewhere=frozenset({"t/test_c.py::four"}),
)


@pytest.mark.parametrize(
    ("line", "first"), [(1, None), (3, None), (4, None), (5, 3), (6, 3), (7, 6), (8, 3), (11, None), (13, 12)]
)
def test_the_function_around_a_line_is_counted_from_its_first_decorator(line: int, first: int | None) -> None:
    assert function_around(SOURCE, line) == first


@pytest.mark.parametrize(
    ("line", "first", "tests"),
    [
        (5, [], ["t/test_b.py::three", "t/test_c.py::four", "t/test_a.py::one"]),
        (5, ["t/test_a.py"], ["t/test_a.py::one", "t/test_b.py::three", "t/test_c.py::four"]),
        (13, [], ["t/test_c.py::four", "t/test_a.py::two"]),
        (1, [], ["t/test_b.py::three", "t/test_c.py::four", "t/test_a.py::one", "t/test_a.py::two"]),
    ],
)
def test_the_tests_that_call_the_function_are_run_the_quickest_file_first(
    line: int, first: list[str], tests: list[str]
) -> None:
    assert REACH.tests_of(Path("f.py"), line, source=SOURCE, first=first) == tests


def test_a_function_that_is_called_while_tests_are_collected_is_tried_in_a_new_process() -> None:
    early = Reach(calls={"": frozenset({"f.py:3"})}, seconds={}, elsewhere=frozenset())
    assert not early.is_called_late(Path("f.py"), 5, source=SOURCE)
    assert early.is_called_late(Path("f.py"), 13, source=SOURCE)
    assert not early.is_called_late(Path("f.py"), 1, source=SOURCE)


def loaded(file: Path, source: str) -> ModuleType:
    file.write_text(source)
    spec = importlib.util.spec_from_file_location("changed_module", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_change_comes_into_the_functions_that_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(mutants.__file__).parent))
    from mutants.collected import swap

    source = SOURCE.replace("@decorated\n", "\n")
    file = tmp_path / "changed_module.py"
    module = loaded(file, source)
    kind, inner = module.Kind(), module.outer(1)
    swap(str(file), source.replace("self.size", "self.size + 1").replace("return a", "return a + 1"))
    assert (kind.method(), inner(), module.outer(2)()) == (5, 2, 3)
    with pytest.raises(ValueError, match="free vars"):
        swap(str(file), source.replace("return a", "return 0"))
