"""Questions and contexts as windows: which target each has, the loss of transformers, and the best answer of a window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_tokenizer, tiny_tokenizers

from tuneloop_api.contract.settings import TaskOptionSettings
from tuneloop_trainer.dataset.shards import WINDOW, TokenizedSplit
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.tasks.question_answering import QUESTION_ANSWERING as TASK
from tuneloop_trainer.tasks.question_windows import (
    ANSWERABLE,
    BEGINS,
    CONTEXT,
    END,
    ENDS,
    MARKS,
    START,
    TOKEN,
    windows_of,
)
from tuneloop_trainer.tasks.task import EncodedRow

TOKENIZER = tiny_tokenizer(max_positions=512)
WORDS = ["good", "movie", "the", "film", "is", "so", "warm", "a", "tale", "story"]


def row(context: str, answer: str | None = None, *, question: str = "is it good") -> dict[str, Any]:
    found = (
        {"text": [], "answer_start": []}
        if answer is None
        else {"text": [answer], "answer_start": [context.index(answer)]}
    )
    return {"context": context, "question": question, "answers": found}


def encoded(given: dict[str, Any], tokenizer: Any = TOKENIZER) -> EncodedRow:
    return TASK.encode(tokenizer, [given], {})[0]


def split_of(windows: list[EncodedRow]) -> TokenizedSplit:
    lengths = np.array([len(window.input_ids) for window in windows])
    return TokenizedSplit(
        name="train",
        lengths=lengths,
        rows=np.zeros(len(windows), dtype=np.int64),
        targets=np.ones(len(windows), dtype=np.int64),
        row_columns={
            name: np.array([window.row_columns[name] for window in windows]) for name in windows[0].row_columns
        },
        ids=(np.concatenate([window.input_ids for window in windows]),),
        token_columns={
            name: (np.concatenate([window.token_columns[name] for window in windows]),)
            for name in windows[0].token_columns
        },
        first_rows=np.array([0, len(windows)]),
        starts=np.cumsum([0, *lengths[:-1]]),
    )


def marked(window: EncodedRow, context: str) -> str | None:
    """Return the answer that the marks of a window say; None: its first token has both."""
    marks = window.token_columns[MARKS]
    (start,), (end,) = np.flatnonzero(marks & START), np.flatnonzero(marks & END)
    if start == end == 0:
        return None
    return context[window.token_columns[BEGINS][start] : window.token_columns[ENDS][end]]


def test_a_row_is_the_pair_with_type_ids_and_the_characters_of_its_context():
    found = encoded(row("a good movie", "good"))
    tokens = TOKENIZER.convert_ids_to_tokens(found.input_ids.tolist())
    assert tokens == ["[CLS]", "is", "it", "good", "[SEP]", "a", "good", "movie", "[SEP]"]
    assert found.token_columns["token_type_ids"].tolist() == [0] * 5 + [1] * 4
    assert found.token_columns[BEGINS].tolist() == [-1] * 5 + [0, 2, 7, -1]
    assert found.token_columns[MARKS].tolist() == [TOKEN] * 5 + [3, 3 | START | END, 3, TOKEN]
    assert found.row_columns == {ANSWERABLE: 1}


@pytest.mark.parametrize(
    ("context", "answer"),
    [("so!good!film", "good"), ("so good film", "good film"), ("xgoody tale", "good"), ("the (warm) tale", "(warm)")],
)
def test_an_answer_is_the_tokens_that_share_a_character_with_it(context, answer):
    found = encoded(row(context, answer))
    assert marked(found, context) == answer


def test_a_tokenizer_without_type_ids_gives_none():
    plain = tiny_tokenizers()["byte-level BPE"]
    plain.model_input_names = ["input_ids", "attention_mask"]
    found = encoded(row("a good movie", "good"), plain)
    assert set(found.token_columns) == {MARKS, BEGINS, ENDS}


@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=40),
    place=st.integers(0, 39),
    length=st.integers(1, 5),
    most=st.integers(12, 40),
    stride=st.integers(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_a_window_holds_the_whole_answer_or_says_that_there_is_none(words, place, length, most, stride):
    first = place % len(words)
    last = min(first + length, len(words))
    context = " ".join(words)
    start = len(" ".join([*words[:first], ""]))
    answer = " ".join(words[first:last])
    given_row = {"context": context, "question": "is it", "answers": {"text": [answer], "answer_start": [start]}}
    windows = windows_of(encoded(given_row), most, doc_stride=stride)
    assert [window.row_columns[WINDOW] for window in windows] == list(range(len(windows)))
    for window in windows:
        inside = window.token_columns[MARKS] & CONTEXT > 0
        begins, ends = window.token_columns[BEGINS][inside], window.token_columns[ENDS][inside]
        holds = begins[0] <= start and ends[-1] >= start + len(answer)
        assert marked(window, context) == (answer if holds else None)
        assert len(window.input_ids) <= most
        assert window.input_ids[0] == TOKENIZER.cls_token_id


def test_a_row_without_an_answer_has_windows_that_say_so():
    windows = windows_of(encoded(row(" ".join(WORDS * 4))), 16, doc_stride=4)
    assert len(windows) > 2
    assert {marked(window, "") for window in windows} == {None}
    assert {window.row_columns[ANSWERABLE] for window in windows} == {0}


@pytest.mark.parametrize(
    ("given_row", "most", "windows"),
    [
        pytest.param(
            row("a good movie", question="is it good " * 4), 16, 0, id="the question takes more than three quarters"
        ),
        pytest.param(row("\u200b", question="is it"), 16, 0, id="the context has no token"),
        pytest.param(row("a good movie", question="is it"), 16, 1, id="a short row is one window"),
    ],
)
def test_a_row_that_cannot_be_read_has_no_window(given_row, most, windows):
    assert len(windows_of(encoded(given_row), most, doc_stride=8)) == windows


def test_windows_of_a_text_are_those_of_its_row():
    given_row = row(" ".join(WORDS * 4), "warm")
    of_text = TASK.windows_of_text(TOKENIZER, TASK.text_of(given_row), 20)
    of_row = TASK.windows(encoded(given_row), 20)
    assert [window.input_ids.tolist() for window in of_text] == [window.input_ids.tolist() for window in of_row]


def batch_of(*rows: dict[str, Any], most: int = 16):
    windows = [window for given_row in rows for window in windows_of(encoded(given_row), most, doc_stride=4)]
    split = split_of(windows)
    return TASK.collate(split, np.arange(len(windows)), TOKENIZER.pad_token_id), split


BATCH, SPLIT = batch_of(
    row("a good movie", "good movie"), row(" ".join(WORDS * 2), "warm a"), row("the film is so", None)
)


def output_for(labels: np.ndarray, *, seed: int = 0) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)
    start, end = torch.randn(2, *labels.shape, generator=generator)
    return SimpleNamespace(start_logits=start, end_logits=end)


def test_the_loss_of_windows_without_padding_is_that_of_transformers():
    from transformers import BertConfig, BertForQuestionAnswering

    torch.manual_seed(0)
    model = BertForQuestionAnswering(
        BertConfig(
            vocab_size=len(TOKENIZER), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
    ).eval()
    total = 0.0
    for place in range(len(SPLIT.rows)):
        batch = TASK.collate(SPLIT, np.array([place]), TOKENIZER.pad_token_id)
        inputs = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
        marks = torch.from_numpy(batch.labels)
        expected = model(
            **inputs, start_positions=(marks & START).argmax(1), end_positions=(marks & END).argmax(1)
        ).loss
        found = TASK.loss_sum(model(**inputs), marks, 0.0)
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)
        total += found.item()
    inputs = {name: torch.from_numpy(array) for name, array in BATCH.inputs.items()}
    assert TASK.loss_sum(model(**inputs), torch.from_numpy(BATCH.labels), 0.0).item() == pytest.approx(total, rel=1e-5)


def test_the_loss_is_in_float32_and_padding_has_no_part_in_it():
    marks = torch.from_numpy(BATCH.labels)
    output = output_for(BATCH.labels)
    whole = TASK.loss_sum(output, marks, 0.0)
    assert whole.dtype == torch.float32
    output.start_logits[marks == 0] = 50.0
    assert TASK.loss_sum(output, marks, 0.0).item() == pytest.approx(whole.item())


@pytest.mark.parametrize("longest", [1, 2, 3, 30])
def test_the_best_answer_is_the_likeliest_span_of_the_context_that_is_not_too_long(longest):
    task = TASK.with_options(TASK, SimpleNamespace(task_options=TaskOptionSettings(max_answer_tokens=longest)))
    marks, output = torch.from_numpy(BATCH.labels), output_for(BATCH.labels, seed=longest)
    kept = task.target_values(output, marks).numpy()
    assert kept.shape == (len(SPLIT.rows), task.values_per_line([]))
    for line, of_window in enumerate(BATCH.labels):
        inside = np.flatnonzero(of_window & CONTEXT)
        allowed = np.concatenate([[0], inside])
        scores = [logits[line].numpy().astype(float) for logits in (output.start_logits, output.end_logits)]
        start, end = (values - np.log(np.exp(values[allowed]).sum()) for values in scores)
        spans = {
            (first, last): start[first] + end[last]
            for first in inside
            for last in inside
            if first <= last < first + longest
        }
        best = max(spans, key=spans.__getitem__)
        assert (int(kept[line, 3]), int(kept[line, 4])) == best
        assert kept[line, 1:3] == pytest.approx([start[0] + end[0], spans[best]], abs=1e-5)


def test_parity_compares_likelihoods_and_not_places():
    values = np.arange(14, dtype=np.float32).reshape(2, 7)
    assert TASK.comparable(values, np.ones(2)).tolist() == [[0, 1, 2], [7, 8, 9]]


def test_allowing_no_answer_needs_rows_that_have_none():
    allowed = TASK.with_options(TASK, SimpleNamespace(task_options=TaskOptionSettings(no_answer="allowed")))
    with pytest.raises(DataError, match="noAnswer: allowed"):
        allowed.check_rows({"validation": {ANSWERABLE: np.array([1, 1])}})
    allowed.check_rows({"validation": {ANSWERABLE: np.array([1, 0])}})
    TASK.with_options(TASK, SimpleNamespace(task_options=TaskOptionSettings())).check_rows(
        {"validation": {ANSWERABLE: np.array([1])}}
    )
