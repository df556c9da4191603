"""Queries in pages and examples ask for metrics that `docs/metrics.md` has: what a metric is called changes in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/metrics.md"
KNOWN = set(re.findall(r"`((?:tuneloop|envoy)[a-z0-9_:]+)[`{]", PAGE.read_text()))
IN_A_QUERY = re.compile(r"\b((?:tuneloop|envoy)[_:][a-z0-9_:]+)\{[^}]*[=}]")
FILES = [*(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.yaml")]
ASKED = sorted(
    {(path.relative_to(ROOT).as_posix(), name) for path in FILES for name in IN_A_QUERY.findall(path.read_text())}
)


@pytest.mark.parametrize(("page", "name"), ASKED)
def test_a_query_asks_for_a_metric_that_there_is(page, name):
    assert re.sub(r"_(bucket|sum|count)$", "", name) in KNOWN


def test_there_are_queries_to_look_at():
    assert {page for page, _ in ASKED} >= {"docs/metrics.md", "docs/rollouts.md", "examples/runtimes/custom.yaml"}
