"""Corrections of generated answers as rows to learn from: in the format of the job, and of no other."""

from __future__ import annotations

import json

import pytest
from feedback_files import CUTOFF, NOON, row, taken, write
from run_configs import run_config

from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.feedback.snapshot import sides_of
from tuneloop_trainer.data.locate_source import snapshots_of
from tuneloop_trainer.data.notes import feedback_notes
from tuneloop_trainer.data.row_table import TEST, TRAIN
from tuneloop_trainer.data.text_key import text_key
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.prepare import locate_sources

CHAT = [{"content": "Be brief.", "role": "system"}, {"content": "Who was Ada?", "role": "user"}]


def of_side(text: str, side: int = TRAIN) -> str:
    """The text with so many spaces behind it that it is of a side."""
    found = (f"{text}{number}" for number in range(1000))
    return next(text for text in found if sides_of([text_key(text)], [False]) == [side])


def prompt(token: str, label: str | None = "Ada.", **changes):
    text = of_side("Who wrote the first program? ")
    return changed(row(token, label, text=text, **changes), form="prompt-completion", score=0.0)


def chat(token: str, label: str | None = "A mathematician.", *, side: int = TRAIN, **changes):
    messages = [CHAT[0], CHAT[1] | {"content": ""}]
    texts = (json.dumps([messages[0], CHAT[1] | {"content": f"Who {number}?"}]) for number in range(1000))
    text = next(text for text in texts if sides_of([text_key(text)], [False]) == [side])
    return changed(row(token, label, text=text, **changes), form="messages", score=0.0)


def rows(folder, **changes) -> list[dict]:
    return list(map(json.loads, taken(folder, **changes).path.read_bytes().splitlines()))


def test_a_prompt_and_its_correction_are_a_completion(tmp_path):
    write(tmp_path / "rows", [prompt("a")])
    (found,) = rows(tmp_path, form="prompt-completion")
    assert found == {"prompt": prompt("a").text, "completion": "Ada."}


def test_a_chat_and_its_correction_are_a_conversation(tmp_path):
    write(tmp_path / "rows", [chat("a")])
    (found,) = rows(tmp_path, form="messages")
    assert found["messages"] == [*json.loads(chat("a").text), {"role": "assistant", "content": "A mathematician."}]


@pytest.mark.parametrize(
    ("form", "columns"),
    [("text-label", {"text", "label"}), ("prompt-completion", {"prompt", "completion"}), ("messages", {"messages"})],
)
def test_feedback_of_another_form_is_no_row_and_is_told(tmp_path, form, columns):
    write(tmp_path / "rows", [row("a"), prompt("b"), chat("c")])
    assert [set(found) for found in rows(tmp_path, form=form)] == [columns]
    assert taken(tmp_path, form=form).facts["ofOtherForm"] == 2


def test_feedback_without_a_text_is_of_no_other_form(tmp_path):
    write(tmp_path / "rows", [prompt("a"), row("b", None, text=None)])
    facts = taken(tmp_path, form="prompt-completion").facts
    assert (facts["withoutText"], facts["ofOtherForm"]) == (1, 0)


def test_feedback_of_another_form_alone_is_no_data_and_the_message_says_so(tmp_path):
    write(tmp_path / "rows", [prompt("a"), prompt("b")])
    with pytest.raises(DataError, match="2 with a text of another format than the job's"):
        taken(tmp_path, form="messages")


def test_the_last_correction_counts_and_the_first_text_has_its_form(tmp_path):
    later = prompt("a", "Ada Lovelace.", at=NOON + 60)
    write(
        tmp_path / "rows", [later, changed(later, text=None, form="text-label", label="Ada L.", labelled_at=NOON + 90)]
    )
    assert [found["completion"] for found in rows(tmp_path, form="prompt-completion")] == ["Ada L."]


def test_a_score_without_a_correction_teaches_nothing(tmp_path):
    write(tmp_path / "rows", [prompt("a"), prompt("b", None)])
    assert len(rows(tmp_path, form="prompt-completion")) == 1
    assert taken(tmp_path, form="prompt-completion").facts["withoutLabel"] == 1


@pytest.mark.parametrize("text", ["Who?", "7", '["Who?"]', '{"role": "user"}'])
def test_a_conversation_that_is_none_is_a_damaged_line(tmp_path, text):
    write(tmp_path / "rows", [chat("a"), changed(chat("b"), text=text)])
    assert len(rows(tmp_path, form="messages")) == 1
    assert taken(tmp_path, form="messages").facts["damagedLines"] == 1


def test_the_sides_are_those_of_labels(tmp_path):
    write(tmp_path / "rows", [chat("a"), chat("b", side=TEST)])
    assert len(rows(tmp_path, form="messages")) == 1
    assert len(rows(tmp_path, form="messages", split=TEST, field="evaluation.compareWith.recent[0]")) == 1


def job(folder, *, format_: str | None, task: str = "text-generation"):
    data = {"train": [{"uri": "feedback://reviews", "cutoff": CUTOFF}]} | ({"format": format_} if format_ else {})
    config = run_config(folder, task=task, data=data)
    return changed(config, paths=changed(config.paths, feedback={"reviews": str(folder / "rows")}))


def located(config):
    return locate_sources(config, snapshots=snapshots_of(config))


@pytest.mark.parametrize(
    ("format_", "column"), [(None, "messages"), ("messages", "messages"), ("prompt-completion", "prompt")]
)
def test_a_job_gets_the_rows_of_its_format(tmp_path, format_, column):
    write(tmp_path / "rows", [prompt("a"), chat("b")])
    (source,) = located(job(tmp_path, format_=format_))
    (found,) = map(json.loads, source.files[0].path.read_text().splitlines())
    assert column in found
    assert "1 with a text of another format" in feedback_notes([source])[0]


def test_a_job_of_plain_texts_is_told_that_feedback_has_none(tmp_path):
    write(tmp_path / "rows", [chat("b")])
    with pytest.raises(ConfigError, match=r"data.train\[0\].uri: feedback has no rows of the format text"):
        located(job(tmp_path, format_="text"))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"role": "assistant", "content": " "}, id="a blank answer in the middle"),
        pytest.param({"role": "tool", "content": "42"}, id="a role that the format does not know"),
        pytest.param({"role": "user", "content": ["Who?"]}, id="a content that is no text"),
    ],
)
def test_a_conversation_that_no_job_could_read_has_no_text_and_fails_no_job(tmp_path, message):
    whole = chat("a")
    broken = changed(chat("b"), text=json.dumps([*CHAT, message, CHAT[1]]))
    write(tmp_path / "rows", [whole, broken])
    found = taken(tmp_path, form="messages")
    assert [json.loads(line)["messages"][:-1] for line in found.path.read_bytes().splitlines()] == [
        json.loads(whole.text)
    ]
    assert (found.facts["predictions"], found.facts["withoutText"]) == (2, 1)
