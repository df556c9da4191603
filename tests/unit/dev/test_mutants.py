"""The changes that the mutation tool makes: each in one place, all of them valid, and none where it would say nothing."""

from __future__ import annotations

import pytest
from mutants.changes import changes
from mutants.known import Known, known_changes
from mutants.packages import PACKAGES, ROOT

ONE_OF_EACH = [
    ("x = a < b", "x = a <= b"),
    ("x = a is not b", "x = a is b"),
    ("x = a and b", "x = a or b"),
    ("x = a and b", "x = a and True"),
    ("x = a or b", "x = False or b"),
    ("x = not a", "x = (a)"),
    ("x = a + b", "x = a - b"),
    ("x = a | b", "x = a"),
    ("x = 3", "x = 4"),
    ("x = True", "x = False"),
    ("x = 'key'", "x = 'keyx'"),
    ("x = min(a, b)", "x = max(a, b)"),
    ("x = sorted(a, key=b)", "x = list(a)"),
    ("x = f(a, key=b)", "x = f(a, )"),
    ("x = {'a': 1, 'b': 2}", "x = { 'b': 2}"),
    ("x = a[-n:]", "x = a[:n]"),
    ("x = a[0]", "x = a[-1]"),
    ("x = 1 if a else 2", "x = 1 if False else 2"),
    ("x = [i for i in a if i > b]", "x = [i for i in a if True]"),
    ("save(a)", "pass"),
    ("a |= b", "a = b"),
    ("if a:\n    raise E", "if a:\n    pass"),
]


@pytest.mark.parametrize(("source", "changed"), ONE_OF_EACH)
def test_each_kind_of_change_is_made(source: str, changed: str) -> None:
    assert changed in [change.apply(source) for change in changes(source)]


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "import a",
        "x: Literal['a']",
        "def f(x: Annotated[int, 3]) -> Literal[1]: ...",
        "assert a < 3",
        "_LOG.warning('of %d', 3)",
        "x = f'{a + 1}'",
        "if TYPE_CHECKING:\n    x = 3",
        "x = 'a message to a person'",
    ],
)
def test_what_changes_no_behavior_is_left_alone(source: str) -> None:
    assert changes(source) == []


def test_a_change_is_found_at_its_line_behind_other_than_ascii_text() -> None:
    source = 'x = "ä – ö"\ny = (\n    a\n    < b\n)\n'
    (change,) = [change for change in changes(source) if change.old == "<"]
    assert (change.line, change.apply(source)) == (4, source.replace("< b", "<= b"))


@pytest.mark.parametrize("source", ["x = 1", "x = 1; x = 1; y = 1"])
def test_a_known_change_whose_code_is_not_there_once_is_out_of_date(source: str) -> None:
    known = Known(id="A1", file="f.py", package="decide", code="x = 1; ", changed="x = 2; ")
    with pytest.raises(LookupError, match="A1: the code stands"):
        known.apply(source)
    assert known.apply("x = 1; z = 3") == "x = 2; z = 3"


@pytest.mark.parametrize("known", known_changes(), ids=lambda known: f"{known.file}:{known.id}")
def test_every_known_change_can_be_made(known: Known) -> None:
    assert known.apply((ROOT / known.file).read_text()) != (ROOT / known.file).read_text()


@pytest.mark.parametrize("name", PACKAGES)
def test_the_files_and_tests_of_a_package_exist(name: str) -> None:
    package = PACKAGES[name]
    assert [path for path in (*package.sources, *package.tests) if not (ROOT / path).exists()] == []
