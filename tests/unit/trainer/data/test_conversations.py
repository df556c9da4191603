"""Rows of conversations, and of prompts with completions: what is taken as it is, and why a row cannot be used."""

from __future__ import annotations

import json

import pytest

from tuneloop_api.contract.settings import Settings
from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.data.formats import messages as conversation
from tuneloop_trainer.data.formats import prompt_completion as pair
from tuneloop_trainer.data.formats.messages import MESSAGES
from tuneloop_trainer.data.formats.prompt_completion import PROMPT_COMPLETION
from tuneloop_trainer.data.formats.row_format import SourceToParse, Unusable
from tuneloop_trainer.data.sources.raw import BadReason, RawRow
from tuneloop_trainer.errors import ConfigError

ASKED, ANSWERED = {"role": "user", "content": "sure?"}, {"role": "assistant", "content": "yes."}


def problem(found: object) -> BadReason | None:
    return found.reason if isinstance(found, Unusable) else None


@pytest.mark.parametrize(
    "cell",
    [
        [ASKED, ANSWERED],
        json.dumps([ASKED, ANSWERED]),
        [ASKED | {"name": "Ann"}, ANSWERED | {"tool_calls": []}],
    ],
    ids=["a list", "JSON in a cell", "with more than role and content"],
)
def test_a_conversation_keeps_its_roles_and_contents(cell):
    assert conversation.parse(RawRow(1, (cell,))) == {"messages": [ASKED, ANSWERED]}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, BadReason.MISSING_MESSAGES),
        ("", BadReason.MISSING_MESSAGES),
        ([], BadReason.MISSING_MESSAGES),
        ("hello", BadReason.NOT_MESSAGES),
        ("[" * 100_000, BadReason.NOT_MESSAGES),
        (7, BadReason.NOT_MESSAGES),
        ([ASKED, "yes."], BadReason.NOT_MESSAGES),
        ([ASKED, {"role": "assistant"}], BadReason.NOT_MESSAGES),
        ([ASKED, {"role": "bot", "content": "yes."}], BadReason.NOT_MESSAGES),
        ([ASKED, {"role": "assistant", "content": ["yes."]}], BadReason.NOT_MESSAGES),
        ([ASKED], BadReason.NO_ASSISTANT),
        ([{"role": "system", "content": "Be brief."}, ASKED], BadReason.NO_ASSISTANT),
        ([ASKED, {"role": "assistant", "content": " \n"}], BadReason.EMPTY_ANSWER),
        ([ASKED, {"role": "assistant", "content": "\ud800"}], BadReason.NOT_UNICODE),
    ],
    ids=str,
)
def test_a_conversation_that_cannot_be_used_says_why(cell, reason):
    assert problem(conversation.parse(RawRow(1, (cell,)))) is reason


@pytest.mark.parametrize("prompt", ["what colour is snow?", "", " \n"])
def test_prompt_and_completion_stay_as_they_are(prompt):
    assert pair.parse(RawRow(1, (prompt, " white.\n"))) == {"prompt": prompt, "completion": " white.\n"}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ((None, "white."), BadReason.MISSING_PROMPT),
        (("snow?", None), BadReason.EMPTY_COMPLETION),
        (("snow?", ""), BadReason.EMPTY_COMPLETION),
        (("snow?", " \n"), BadReason.EMPTY_COMPLETION),
        ((7, "white."), BadReason.NOT_TEXT),
        (("snow?", 7), BadReason.NOT_TEXT),
        (("\ud800", "white."), BadReason.NOT_UNICODE),
        (("snow?", "\ud800"), BadReason.NOT_UNICODE),
    ],
    ids=str,
)
def test_a_pair_that_cannot_be_used_says_why(cells, reason):
    assert problem(pair.parse(RawRow(1, cells))) is reason


@pytest.mark.parametrize(
    ("row_format", "row", "others"),
    [
        (
            MESSAGES,
            {"messages": [ASKED, ANSWERED]},
            [{"messages": [ASKED, ANSWERED | {"content": "no."}]}, {"messages": [ANSWERED, ASKED]}],
        ),
        (
            PROMPT_COMPLETION,
            {"prompt": "a", "completion": "b"},
            [{"prompt": "a", "completion": "c"}, {"prompt": "ab", "completion": ""}],
        ),
    ],
    ids=["messages", "prompt-completion"],
)
def test_rows_repeat_each_other_only_as_a_whole_and_never_contradict(row_format, row, others):
    for other in others:
        assert row_format.texts(row) != row_format.texts(other)
        assert row_format.answer(row) == row_format.answer(other)
    assert row_format.labels(row) == ()


@pytest.mark.parametrize("name", ["messages", "prompt-completion"])
@pytest.mark.parametrize(
    ("settings", "source", "message"),
    [
        ({"model": {"uri": "file:///m", "labels": ["a", "b"]}}, {}, "model.labels"),
        ({}, {"labelRule": {"above": 1, "names": ["a", "b"]}}, r"data.train\[0\].labelRule"),
    ],
)
def test_settings_of_labels_are_refused(name, settings, source, message):
    wire = {
        "model": {"uri": "file:///m"},
        "task": "text-generation",
        "data": {"train": [{"uri": "file:///a.jsonl"} | source]},
    }
    made = Settings.from_wire(wire | settings)
    sources = [SourceToParse(field="data.train[0]", settings=made.data.train[0], rows=lambda: iter(()))]
    with pytest.raises(ConfigError, match=message):
        FORMATS[name].parsing(sources, made)
