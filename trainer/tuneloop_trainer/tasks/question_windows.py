"""Questions and their contexts as tokens: a pair, the marks of its answer, and the windows of a long context.

Shapes: T = tokens of a pair, or of a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.contract.model_inputs import TYPE_IDS, context_room, context_windows, split_question
from tuneloop_trainer.dataset.shards import WINDOW
from tuneloop_trainer.tasks.task import EncodedRow, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MARKS, BEGINS, ENDS = "marks", "begins", "ends"
"""Token columns: the bits below; and the characters of the context that a token stands for, from and to, -1 outside of the context."""
TOKEN, CONTEXT, START, END = 1, 2, 4, 8
"""Bits of a token: it is no padding; it is of the context; the answer starts, ends there."""
ANSWERABLE = "answerable"
"""Row column: 1 where the context holds an answer, else 0."""


def encode_pairs(tokenizer: Any, rows: Sequence[Row], _label_ids: Mapping[str, int]) -> list[EncodedRow]:
    """Return each row `{"context", "question", "answers"}` as the tokens of the pair, whole, with the marks of its first answer."""
    wants_type_ids = TYPE_IDS in tokenizer.model_input_names
    encoded = tokenizer(
        [row["question"] for row in rows],
        [row["context"] for row in rows],
        add_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=wants_type_ids,
        return_offsets_mapping=True,
        verbose=False,
    )
    result = []
    for number, row in enumerate(rows):
        in_context = np.array([part == 1 for part in encoded.sequence_ids(number)], dtype=np.bool_)
        offsets = np.array(encoded["offset_mapping"][number], dtype=np.int32).reshape(-1, 2)
        begins, ends = (np.where(in_context, offsets[:, side], -1).astype(np.int32) for side in (0, 1))
        columns = {MARKS: _marks(row["answers"], in_context, begins, ends), BEGINS: begins, ENDS: ends}
        if wants_type_ids:
            columns[TYPE_IDS] = np.array(encoded[TYPE_IDS][number], dtype=np.int32)
        result.append(
            EncodedRow(
                input_ids=np.array(encoded["input_ids"][number], dtype=np.int32),
                token_columns=columns,
                row_columns={ANSWERABLE: int(bool(row["answers"]["text"]))},
            )
        )
    return result


def _marks(
    answers: Mapping[str, Sequence[Any]],
    in_context: NDArray[np.bool_],
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Return the bits of each token, [T]: the first answer takes in all tokens of the context that share a character with it."""
    marks = np.where(in_context, TOKEN | CONTEXT, TOKEN).astype(np.int32)
    if answers["text"]:
        start = answers["answer_start"][0]
        inside = np.flatnonzero(in_context & (begins < start + len(answers["text"][0])) & (ends > start))
        if len(inside):
            marks[inside[0]] |= START
            marks[inside[-1]] |= END
    return marks


def windows_of(row: EncodedRow, most: int, *, doc_stride: int) -> list[EncodedRow]:
    """Return the windows of a whole row, each with the question and at most `most` tokens; none if the question leaves too little room, or the context has no token."""
    context = np.flatnonzero(row.token_columns[MARKS] & CONTEXT)
    length = len(row.input_ids)
    room = context_room(most, fixed=length - len(context))
    if not len(context) or not room:
        return []
    first, after = int(context[0]), int(context[-1]) + 1
    windows = []
    for number, (start, end) in enumerate(context_windows(len(context), room=room, stride=doc_stride)):
        kept = np.concatenate([np.arange(first), first + np.arange(start, end), np.arange(after, length)])
        columns = {name: values[kept] for name, values in row.token_columns.items()}
        columns[MARKS] = _with_target(columns[MARKS])
        windows.append(
            EncodedRow(
                input_ids=row.input_ids[kept],
                token_columns=columns,
                row_columns={**row.row_columns, WINDOW: number},
            )
        )
    return windows


def _with_target(marks: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the marks of a window with a start and an end: those of the answer if it holds both, else both at the first token."""
    if (marks & START).any() and (marks & END).any():
        return marks
    without = marks & ~(START | END)
    without[0] |= START | END
    return without


def windows_of_text(tokenizer: Any, text: str, most: int, *, doc_stride: int) -> list[EncodedRow]:
    """Return the windows of a text, a question in its first line and a context behind it, without an answer."""
    question, context = split_question(text)
    row = {"question": question, "context": context, "answers": {"text": [], "answer_start": []}}
    return windows_of(encode_pairs(tokenizer, [row], {})[0], most, doc_stride=doc_stride)
