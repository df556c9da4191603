"""Rows become tokens whose targets are what the model is to write, and every cut of a row is one of plain transformers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language_models import ALTERNATES, CHATML, END, END_OF_TURN, MARKED, conversations, pairs, tiny_byte_tokenizer
from tiny_models import tiny_tokenizer

from tuneloop_api.contract.settings import Settings
from tuneloop_trainer.data.tokenize import wrap
from tuneloop_trainer.dataset.shards import IGNORED, LABELS
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.export.champion.encode import as_split
from tuneloop_trainer.models.source import _tokenizer_digest
from tuneloop_trainer.tasks import TASKS, task_of
from tuneloop_trainer.tasks.language_model import BYTES
from tuneloop_trainer.tasks.task import EncodedRow
from tuneloop_trainer.tasks.text_generation import TEXT_GENERATION, _asked, _encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def encoded(row, tokenizer=None, **options) -> EncodedRow:
    (found,) = _encode(tokenizer or tiny_byte_tokenizer(), [row], {}, **options)
    return found


def written(row: EncodedRow, tokenizer=None) -> str:
    """The text that the targets spell."""
    labels = row.token_columns[LABELS]
    return (tokenizer or tiny_byte_tokenizer()).decode(labels[labels != IGNORED])


PAIR = {"prompt": "what colour is snow?", "completion": " white."}
TALK = conversations(3)[2]


@pytest.mark.parametrize(
    ("row", "options", "targets"),
    [
        (PAIR, {}, f" white.{END}"),
        (PAIR, {"is_all": True}, f" colour is snow? white.{END}"),
        ({"text": "what colour is snow?"}, {}, f" colour is snow?{END}"),
        (TALK, {}, f"black.{END_OF_TURN}\nyes.{END_OF_TURN}\n{END}"),
    ],
    ids=["a completion", "a prompt and its completion", "a text", "answers"],
)
def test_targets_are_what_the_model_is_to_write_and_the_first_token_is_none(row, options, targets):
    assert written(encoded(row, **options)) == targets


def test_an_end_of_turn_that_ends_texts_is_not_written_twice():
    tokenizer = tiny_byte_tokenizer(end=END_OF_TURN)
    assert written(encoded(TALK, tokenizer), tokenizer).endswith(f"yes.{END_OF_TURN}")
    assert not written(encoded(TALK, tokenizer), tokenizer).endswith(END_OF_TURN * 2)


def test_the_whole_conversation_may_be_learned():
    ids = encoded(TALK, is_all=True)
    assert (ids.token_columns[LABELS][:-1] == ids.input_ids[1:]).all()


@given(TEXTS, TEXTS)
@settings(max_examples=50)
def test_a_prompt_is_read_as_the_model_gets_it_when_it_is_asked(prompt, completion):
    tokenizer = tiny_byte_tokenizer()
    found = encoded({"prompt": prompt, "completion": completion + "."}, tokenizer)
    asked = tokenizer(prompt)["input_ids"]
    assert found.input_ids[: len(asked)].tolist() == asked
    assert tokenizer.decode(found.input_ids[len(asked) :]) == f"{completion}.{END}"


@given(TEXTS, TEXTS)
@settings(max_examples=50)
def test_the_bytes_of_targets_are_those_of_the_completion(prompt, completion):
    found = encoded({"prompt": prompt + "?", "completion": completion + "."})
    is_target = found.token_columns[LABELS] != IGNORED
    assert found.token_columns[BYTES][is_target].sum() == len((completion + ".").encode())


def test_special_tokens_are_learned_and_count_no_bytes():
    tokenizer = tiny_byte_tokenizer(end=END_OF_TURN)
    found = encoded(TALK, tokenizer)
    is_target = found.token_columns[LABELS] != IGNORED
    assert found.token_columns[BYTES][is_target].sum() == len("black.yes.")


@pytest.mark.parametrize("template", [CHATML, MARKED])
def test_a_conversation_has_the_tokens_of_plain_transformers(template):
    tokenizer = tiny_byte_tokenizer(template=template, end=END_OF_TURN)
    for row in conversations(6):
        plain = tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=True)["input_ids"]
        assert encoded(row, tokenizer).input_ids.tolist() == plain


def test_targets_are_those_that_transformers_marks():
    tokenizer = tiny_byte_tokenizer(template=MARKED, end=END_OF_TURN)
    for row in conversations(6):
        plain = tokenizer.apply_chat_template(
            row["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        is_target = encoded(row, tokenizer).token_columns[LABELS][:-1] != IGNORED
        assert is_target.astype(int).tolist() == plain["assistant_masks"][1:]


def test_special_tokens_that_a_tokenizer_puts_around_a_text_go_before_it_alone():
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = "[MASK]"
    ids = encoded({"prompt": "good film", "completion": "bad"}, tokenizer).input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "good", "film", "bad", "[MASK]"]
    empty = encoded({"prompt": "", "completion": "bad"}, tokenizer).input_ids
    assert tokenizer.convert_ids_to_tokens(empty) == ["[CLS]", "bad", "[MASK]"]


@pytest.mark.parametrize("most", [1, 2, 5, 10])
def test_a_cut_row_still_learns_what_follows_and_never_that_a_text_ends_there(most):
    tokenizer = tiny_byte_tokenizer()
    whole = encoded({"text": "what colour is the sky? blue."}, tokenizer)
    cut = wrap(tokenizer, vocabulary=len(tokenizer)).cut(whole, most)
    assert cut.input_ids.tolist() == whole.input_ids[:most].tolist()
    assert cut.token_columns[LABELS].tolist() == whole.input_ids[1 : most + 1].tolist()
    assert tokenizer.eos_token_id not in cut.token_columns[LABELS]


@pytest.mark.parametrize(("most", "options"), [(100, {}), (100, {"is_all": True}), (12, {"is_all": True}), (14, {})])
def test_the_baseline_is_measured_on_the_targets_of_the_model_also_behind_a_cut(most, options):
    tokenizer = tiny_byte_tokenizer()
    rows = [
        encoded({"prompt": "what is snow? ", "completion": f"snow is white{dots}"}, tokenizer, **options)
        for dots in (".", "...")
    ]
    split = as_split(rows, tokenizer, max_tokens=most, name="test")
    asked, row_of_target = _asked(split)
    assert np.bincount(row_of_target).tolist() == split.targets.tolist()
    for row, whole in enumerate(rows):
        first = np.flatnonzero(whole.token_columns[LABELS] != IGNORED)[0]
        last = first + split.targets[row]
        own = row_of_target == row
        before = np.append(-1, whole.input_ids)
        assert asked.tokens[own].tolist() == whole.input_ids[first + 1 : last + 1].tolist()
        assert asked.context[own, 1].tolist() == whole.input_ids[first:last].tolist()
        assert asked.context[own, 0].tolist() == before[first:last].tolist()


def test_conversations_need_a_chat_template():
    with pytest.raises(ConfigError, match="has no chat template") as refused:
        encoded(TALK, tiny_byte_tokenizer(template=None))
    assert "model.chatTemplate" in refused.value.hint


def test_a_template_that_fails_is_refused_with_counts():
    rows = [*conversations(3), {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    with pytest.raises(DataError, match="fails for 1 of 4 conversations; the first: roles must alternate"):
        _encode(tiny_byte_tokenizer(template=ALTERNATES, end=END_OF_TURN), rows, {})


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = tiny_byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="no token that ends a text"):
        encoded(PAIR, tokenizer)


def test_a_person_reads_all_that_a_row_says():
    rows = (
        PAIR,
        {"text": "snow"},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    )
    assert [TEXT_GENERATION.text_of(row) for row in rows] == ["what colour is snow? white.", "snow", "a\nb"]


def test_rows_are_encoded_one_by_one_as_together():
    tokenizer, rows = tiny_byte_tokenizer(), pairs(5)
    for row, found in zip(rows, _encode(tokenizer, rows, {}), strict=True):
        assert np.array_equal(found.input_ids, encoded(row, tokenizer).input_ids)


@pytest.mark.parametrize(("loss", "targets"), [("auto", 6), ("completion", 6), ("all", 12)])
def test_the_loss_is_taken_where_the_job_says(loss, targets):
    wire = {"model": {"uri": "file:///m"}, "task": "text-generation", "data": {"train": [{"uri": "file:///a.jsonl"}]}}
    task = task_of(Settings.from_wire(wire | {"taskOptions": {"lossOn": loss}}))
    (found,) = task.encode(tiny_byte_tokenizer(), [PAIR], {})
    assert (found.token_columns[LABELS] != IGNORED).sum() == targets


@pytest.mark.parametrize(("task", "is_part"), [("text-generation", True), ("text-classification", False)])
def test_the_chat_template_is_part_of_the_data_set_where_the_task_reads_it(tmp_path, task, is_part):
    tokenizers = [tiny_byte_tokenizer(template=template) for template in (CHATML, MARKED)]
    first, second = (_tokenizer_digest(tmp_path, tokenizer, task=TASKS[task]) for tokenizer in tokenizers)
    assert (first != second) is is_part
