"""What a comparator's second port shows: the metrics of the page and no others, as Prometheus wants them."""

from __future__ import annotations

import json

import pytest
from comparator_process import comparator_config, comparing
from metrics_page import assert_documented, lint
from odd_revisions import revisions, saying


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The metrics after a copy on which both differ, and a replay."""
    folder = tmp_path_factory.mktemp("comparator")
    golden = folder / "golden.jsonl"
    golden.write_text(json.dumps({"inputs": "a film", "label": "positive"}) + "\n")
    with (
        revisions(saying("positive"), saying("negative")) as (stable, canary),
        comparing(
            comparator_config(stable.port, canary.port, golden={"path": str(golden), "times": 1}), folder
        ) as comparator,
    ):
        comparator.send([{"inputs": "a film"}])
        comparator.wait_for_pairs(1)
        comparator.wait_for_replays()
        yield comparator.control("GET", "/metrics").text


def test_they_are_those_of_the_page(text):
    assert_documented(text, "Comparators")


def test_promtool_finds_nothing_to_complain_of(text):
    assert lint(text) == []


def test_they_are_few(text):
    assert 50 < len([line for line in text.splitlines() if not line.startswith("#")]) <= 200
