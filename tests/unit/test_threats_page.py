"""`docs/threats.md` names tests that exist: a promise whose test was renamed or removed is noticed here."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/threats.md", "SECURITY.md")
NAME = re.compile(r"`(?:tests/)?((?:unit|component|stories)/[\w/]+\.py)(?:::(\w+))?`")
NAMED = sorted({(page, *found) for page in PAGES for found in NAME.findall((ROOT / page).read_text())})
"""Page, file, name of a test or nothing."""


@cache
def names_in(path: Path) -> set[str]:
    """Return the names of the functions of a file."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}


def is_there(file: str, test: str) -> bool:
    path = ROOT / "tests" / file
    return path.is_file() and (not test or test in names_in(path))


def test_every_test_that_is_named_is_there():
    assert len(NAMED) > 100
    assert [named for named in NAMED if not is_there(*named[1:])] == []


@pytest.mark.parametrize("number", range(1, 19))
def test_every_threat_has_a_test_or_a_reason(number):
    row = next(line for line in (ROOT / "docs/threats.md").read_text().splitlines() if line.startswith(f"| S{number} "))
    assert NAME.search(row) or "not covered" in row
