"""Rows of feedback: what is written of a label, and whose text."""

from __future__ import annotations

import pytest
from feedback_in_memory import NOON, FeedbackServer, rows_in
from log_records import messages_of

from tuneloop_server.feedback.cohorts import DAY_SECONDS
from tuneloop_server.feedback.errors import RefusedFeedback
from tuneloop_server.feedback.rows import MOST_TEXT_CHARACTERS

TEXT = "a joy"


@pytest.fixture
def server(tmp_path):
    return FeedbackServer(tmp_path, rows=tmp_path / "rows")


def test_a_label_becomes_a_row_with_all_that_is_known_of_its_prediction(server):
    token = server.predict("positive", text=TEXT, confidence=0.87)
    server.now += 90.1234
    server.take(token, "negative", text=TEXT)
    (row,) = server.written()
    assert row.to_wire() == {
        "version": 1,
        "predictedAt": NOON,
        "labelledAt": NOON + 90.123,
        "revision": "7d1f0b2c",
        "predicted": "positive",
        "confidenceBin": 8,
        "correct": False,
        "label": "negative",
        "text": TEXT,
        "token": row.token,
        "source": "client",
        "form": "text-label",
    }
    assert len(row.token) == 32
    assert row.token not in token


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"label": "negative"}, "negative"),
        ({"label": 0}, "negative"),
        ({"correct": True}, "positive"),
        ({"correct": False}, None),
    ],
)
def test_the_label_of_a_row_has_its_name(server, given, label):
    server.take(server.predict("positive"), **given)
    assert [row.label for row in server.written()] == [label]


@pytest.mark.parametrize(
    ("given", "label"),
    [
        pytest.param({"label": 1}, "positive", id="the id of what was predicted"),
        pytest.param({"label": 0}, None, id="another id, which is another label here"),
        pytest.param({"label": "neutral"}, "neutral", id="a name"),
        pytest.param({"correct": True}, "positive", id="right"),
    ],
)
def test_an_id_is_of_the_revision_that_predicted_whose_labels_may_have_another_order(server, tmp_path, given, label):
    before = FeedbackServer(tmp_path, revision="03ab11f0", labels=("negative", "positive"), rows=tmp_path / "before")
    server.take(before.predict("positive"), **given)
    assert [row.label for row in server.written()] == [label]


def test_a_text_that_is_not_the_predicted_one_is_refused_and_nothing_is_kept(server):
    with pytest.raises(RefusedFeedback, match="^input: is not the text that this token was given for") as refused:
        server.take(server.predict(text=TEXT), "negative", text="a poisoned text")
    assert refused.value.reason == "input"
    assert server.written() == []
    assert 'tuneloop_feedback_refused_total{deployment="reviews",reason="input"' in server.metrics


def test_a_label_without_a_text_is_a_row_without_one(server):
    server.take(server.predict(text=TEXT), "positive")
    assert [row.text for row in server.written()] == [None]


def test_a_text_for_a_token_of_a_server_that_keeps_none_is_not_kept_since_nobody_can_check_it(server, tmp_path):
    before = FeedbackServer(tmp_path, revision="03ab11f0")
    assert server.take(before.predict(text=TEXT), "positive", text="another") == (1, 0)
    assert [row.text for row in server.written()] == [None]


def test_two_servers_draw_the_same_texts_for_a_sample(tmp_path):
    servers = [FeedbackServer(tmp_path, rows=tmp_path / name, text_rate=0.3) for name in ("one", "two")]
    tokens = [servers[0].predict(text=TEXT) for _ in range(400)]
    for server in servers:
        for token in tokens:
            server.take(token, "positive", text=TEXT)
    kept = [{row.token for row in server.written() if row.text} for server in servers]
    assert kept[0] == kept[1]
    assert 80 < len(kept[0]) < 160


@pytest.mark.parametrize("text", ["", " \n", "a \ud83d joy", "x" * (MOST_TEXT_CHARACTERS + 1)])
def test_a_blank_text_half_a_character_and_a_text_that_no_model_reads_whole_are_not_kept(server, text):
    server.take(server.predict(text=text), "positive", text=text)
    assert [row.text for row in server.written()] == [None]


def test_feedback_that_is_sent_again_is_a_row_again_since_the_last_label_counts(server):
    token = server.predict()
    server.take(token, "positive")
    server.take(token, "negative")
    assert [(row.token, row.label) for row in server.written()] == [
        (server.written()[0].token, label) for label in ("positive", "negative")
    ]


def test_personal_data_is_masked_before_it_is_written(tmp_path):
    server = FeedbackServer(tmp_path, rows=tmp_path / "rows", redacts=True)
    text = "write to ann@example.org, key hf_abcdefghijklmnop"
    server.take(server.predict(text=text), "positive", text=text, source="audit")
    (row,) = server.written()
    assert (row.text, row.source) == ("write to [EMAIL], key hf_***", "audit")
    assert b"ann@" not in next((tmp_path / "rows").iterdir()).read_bytes()


def test_rows_that_a_disk_does_not_take_wait_in_bounded_memory_and_no_feedback_fails(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder would be")
    server = FeedbackServer(tmp_path, rows=blocked / "rows", most_waiting_bytes=10_000)
    assert [server.take(server.predict(), "positive") for _ in range(20)] == [(1, 0)] * 20
    assert not server.writer.flush()
    blocked.unlink()
    assert 5 <= len(server.written()) < 10
    written, lost = (
        float(line.rsplit(" ", 1)[1])
        for outcome in ("written", "lost")
        for line in server.metrics.splitlines()
        if line.startswith("tuneloop_feedback_rows_total{") and f'outcome="{outcome}"' in line
    )
    assert written + lost == 20
    assert "tuneloop_feedback_write_failures_total{" in server.metrics


def test_a_problem_of_the_disk_is_said_once(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    server = FeedbackServer(tmp_path, rows=blocked / "rows")
    server.take(server.predict(), "positive")
    with messages_of("tuneloop_server.feedback") as messages:
        for _ in range(3):
            server.writer.flush()
    assert len([message for message in messages if "cannot be written" in message]) == 1


def test_what_waits_is_written_when_the_server_ends(server, tmp_path):
    server.writer.start()
    for _ in range(50):
        server.take(server.predict(), "positive")
    server.feedback.close()
    assert len(rows_in(tmp_path / "rows")) == 50


def test_a_row_lies_in_the_file_of_the_day_on_which_its_label_came(server, tmp_path):
    token = server.predict()
    server.now += 2 * DAY_SECONDS
    server.take(token, "positive")
    server.written()
    assert [path.name[:10] for path in (tmp_path / "rows").iterdir()] == ["2026-12-02"]
