"""What a model server shows: the metrics of the page and no others, as Prometheus wants them, and those that the recording rules use."""

from __future__ import annotations

import pytest
from feedback_in_memory import FeedbackServer
from metrics_page import assert_documented, exported_types, lint, names_in_rules, rows


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


def test_the_recording_rules_use_names_that_a_server_exports(tmp_path):
    """The tables of the operator, of features and of text generation are held against what is exported elsewhere."""
    text = FeedbackServer(tmp_path).metrics
    others = (
        "Operator: deployments",
        "Operator: baselines",
        "Model servers: features",
        "Model servers: text generation",
    )
    exported = exported_types(text).keys() | {name for section in others for name in rows(section)}
    assert names_in_rules("tuneloop") <= exported


def test_a_server_that_takes_feedback_shows_the_metrics_of_both_tables(tmp_path):
    server = FeedbackServer(tmp_path)
    server.take(server.predict(), "positive")
    assert_documented(server.metrics, "Model servers", "Model servers: feedback")
    assert lint(server.metrics) == []


def test_a_server_that_keeps_feedback_shows_the_metrics_of_its_rows_too(tmp_path):
    server = FeedbackServer(tmp_path, rows=tmp_path / "rows")
    assert_documented(server.metrics, "Model servers", "Model servers: feedback", "Model servers: rows of feedback")
    assert lint(server.metrics) == []
