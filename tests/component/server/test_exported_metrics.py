"""What a model server shows: the metrics of the page and no others, as Prometheus wants them, and those that the recording rules use."""

from __future__ import annotations

import pytest
from metrics_page import assert_documented, exported_types, lint, names_in_rules


@pytest.fixture(scope="module")
def text(server):
    """The metrics after a prediction and a request that is refused."""
    assert server.ask({"inputs": "a good film"}).status_code == 200
    assert server.ask({"inputs": 7}).status_code == 422
    return server.client.get("/metrics").text


def test_they_are_those_of_the_page(text):
    assert_documented(text, "Model servers")


def test_promtool_finds_nothing_to_complain_of(text):
    assert lint(text) == []


def test_the_recording_rules_use_names_that_a_server_exports(text):
    assert names_in_rules("tuneloop") <= exported_types(text).keys()
