"""Feedback for generated answers: what a body may be, what is counted, and what row is kept."""

from __future__ import annotations

import json

import pytest
from feedback_in_memory import FeedbackServer

from tuneloop_server.errors import RequestError
from tuneloop_server.feedback.conversation import conversation_text
from tuneloop_server.feedback.redacted import redacted
from tuneloop_server.feedback.request import FeedbackItem, ReadInput
from tuneloop_server.feedback.request import read as read_body

LABELS, CORRECT, PREDICTIONS = (
    "tuneloop_feedback_total",
    "tuneloop_feedback_correct_total",
    "tuneloop_feedback_predictions_total",
)
CHAT = [{"role": "user", "content": "Write to\nada@example.org"}]


def read(body: bytes) -> list[FeedbackItem]:
    return read_body(body, generates=True, read_input=lambda _, value: ReadInput(str(value), "prompt-completion"))


@pytest.fixture
def server(tmp_path):
    return FeedbackServer(tmp_path, labels=(), rows=tmp_path / "rows")


# --- the body ---


@pytest.mark.parametrize(
    ("said", "item"),
    [
        ({"score": 0.25}, FeedbackItem(token="t", score=0.25)),
        ({"score": 1}, FeedbackItem(token="t", score=1.0)),
        ({"correct": False}, FeedbackItem(token="t", correct=False)),
        ({"correction": "Ada."}, FeedbackItem(token="t", correction="Ada.")),
        ({"score": 0.5, "correction": "Ada."}, FeedbackItem(token="t", score=0.5, correction="Ada.")),
        ({"score": 1, "input": "Who?"}, FeedbackItem(token="t", score=1, input="Who?", form="prompt-completion")),
        ({"score": 1, "source": "audit"}, FeedbackItem(token="t", score=1, source="audit")),
    ],
)
def test_what_is_said_of_an_answer_is_read(said, item):
    assert read(json.dumps({"token": "t"} | said).encode()) == [item]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "score: score, correct or correction is needed, for example"),
        ({"score": 1.5}, "score: 1.5 was given, allowed are numbers from 0 to 1; for example 0.5"),
        ({"score": -0.1}, "score: -0.1 was given"),
        ({"score": True}, "score: true was given"),
        ({"score": "good"}, "score: "),
        ({"score": float("nan")}, "score: NaN was given"),
        ({"score": 1, "correct": True}, "score: score and correct are given, and only one of them is allowed"),
        ({"correct": 1}, "correct: 1 was given, expected true or false"),
        ({"correction": " "}, "correction: "),
        ({"correction": 7}, "correction: 7 was given, expected the text that would have been right"),
        ({"label": "good"}, "label: is not known; allowed are token, score, correct, correction, input, source"),
        ({"score": 1, "source": "me"}, "source: "),
    ],
)
def test_what_is_wrong_is_named(said, words):
    with pytest.raises(RequestError) as refused:
        read(json.dumps({"token": "t"} | said).encode())
    assert words in str(refused.value)


@pytest.mark.parametrize("field", ["score", "correction"])
def test_labels_have_no_scores_and_no_corrections(field):
    with pytest.raises(RequestError, match=f"{field}: is not known; allowed are token, label, correct"):
        read_body(json.dumps({"token": "t", field: "1"}).encode())


# --- counts ---


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        pytest.param({"score": 0.25}, 0.25, id="a score"),
        pytest.param({"correct": True}, 1, id="thumbs up"),
        pytest.param({"correct": False}, 0, id="thumbs down"),
        pytest.param({"correction": "Ada."}, 0, id="a correction alone says wrong"),
        pytest.param({"score": 0.5, "correction": "Ada."}, 0.5, id="a score beside it says how wrong"),
        pytest.param({"correct": True, "correction": "Ada."}, 1, id="thumbs up, and better words"),
    ],
)
def test_scores_add_up_where_right_labels_are_counted(server, said, counted):
    token = server.feedback.answer_token("Who?")
    assert server.say(token, **said) == (1, 0)
    assert server.count(LABELS) == server.count(PREDICTIONS) == 1
    assert server.count(CORRECT) == counted


def test_the_mean_of_scores_is_that_of_their_revision(server):
    for score in (0.2, 0.4, 0.9):
        server.say(server.feedback.answer_token("Who?"), score=score)
    assert server.count(CORRECT) / server.count(LABELS) == pytest.approx(0.5)


def test_wrong_answers_of_a_client_are_what_its_scores_lack(server):
    for client, score in (("a", 0.0), ("b", 0.75), ("b", 0.5)):
        token = server.feedback.answer_token("Who?")
        server.feedback.take([FeedbackItem(token=token, score=score)], client=client)
    assert server.count("tuneloop_feedback_worst_client_labels") == 1
    assert server.count("tuneloop_feedback_worst_client_correct") == 0


# --- rows ---


def test_a_correction_is_a_row_to_learn_from(server):
    token = server.feedback.answer_token("Who?")
    server.say(token, score=0.3, correction="Ada.", input="Who?", form="prompt-completion")
    (row,) = server.written()
    assert (row.text, row.label, row.form) == ("Who?", "Ada.", "prompt-completion")
    assert (row.score, row.correct, row.predicted, row.confidence_bin) == (0.3, False, None, 0)


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        pytest.param(0.0, {"input": "Who?"}, id="the prompt may not be kept"),
        pytest.param(1.0, {}, id="no prompt was sent"),
    ],
)
def test_a_correction_is_kept_only_with_its_prompt(tmp_path, rate, said):
    server = FeedbackServer(tmp_path, labels=(), rows=tmp_path / "rows", text_rate=rate)
    server.say(server.feedback.answer_token("Who?"), correction="Ada.", **said)
    (row,) = server.written()
    assert (row.text, row.label, row.correct) == (None, None, False)


def test_a_good_answer_without_a_correction_teaches_nothing(server):
    server.say(server.feedback.answer_token("Who?"), score=0.5, input="Who?", form="prompt-completion")
    (row,) = server.written()
    assert (row.text, row.label, row.correct) == ("Who?", None, True)


@pytest.mark.parametrize("form", ["prompt-completion", "messages"])
def test_personal_data_is_masked_in_prompts_messages_and_corrections(tmp_path, form):
    text = conversation_text(CHAT) if form == "messages" else CHAT[0]["content"]
    server = FeedbackServer(tmp_path, labels=(), rows=tmp_path / "rows", redacts=True)
    token = server.feedback.answer_token(text)
    server.say(token, correction="I wrote to ada@example.org.", input=text, form=form)
    (row,) = server.written()
    assert "ada@" not in f"{row.text}{row.label}"
    assert row.label.startswith("I wrote to ")
    found = json.loads(row.text)[0]["content"] if form == "messages" else row.text
    assert found.startswith("Write to\n")


def test_labels_are_not_masked(server):
    rows = FeedbackServer(server.folder, labels=("a@b.de", "no"), rows=server.folder / "labels")
    rows.take(rows.predict("no", text="from x@y.de"), "a@b.de", text="from x@y.de")
    (row,) = map(redacted, rows.written())
    assert row.label == "a@b.de"
    assert "x@y" not in row.text


@pytest.mark.parametrize("other", ["Who is it?", conversation_text([{"role": "user", "content": "Who?"}])])
def test_another_prompt_than_the_tokens_is_refused(server, other):
    token = server.feedback.answer_token("Who?")
    with pytest.raises(Exception, match="input: is not the text that this token was given for"):
        server.say(token, score=1, input=other)
    assert server.count(LABELS) == 0
