"""The router's image has Python and Envoy: its program imports the standard library and itself."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import tuneloop_router

PACKAGE = Path(tuneloop_router.__file__).parent


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_the_router_imports_the_standard_library_and_itself():
    files = list(PACKAGE.rglob("*.py"))
    assert len(files) > 10
    for file in files:
        assert imported(file) <= sys.stdlib_module_names | {"tuneloop_router"}, file
