"""`docs/architecture.md` names files and folders that exist, and `docs/failures.md` every class of failure: a page that has grown old is noticed here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tuneloop_api.wire.failure_class import FailureClass

ROOT = Path(__file__).parents[2]
OF_TODAY = (ROOT / "docs/architecture.md").read_text().split("\n## Folders that changed")[0]
NAMED = sorted(set(re.findall(r"`([\w./]+(?:\.py|/))`", OF_TODAY)))
"""Paths, or their last parts."""
PROGRAMS = ("api", "operator", "trainer", "server", "cli", "tests")
PATHS = {path.as_posix() + "/" * path.is_dir() for program in PROGRAMS for path in (ROOT / program).rglob("*")}


@pytest.mark.parametrize("name", [name for name in NAMED if not re.search("NAME|KIND", name)])
def test_a_file_that_is_named_is_there(name):
    assert any(path.endswith(f"/{name}") for path in PATHS)


@pytest.mark.parametrize("kind", FailureClass)
def test_users_can_read_what_follows_each_failure(kind):
    rows = [line for line in (ROOT / "docs/failures.md").read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{kind}`" in row.split("|")[1] for row in rows)
