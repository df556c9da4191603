"""Turns rows into tokens: once, in batches, kept on disk until the cut is known."""

from __future__ import annotations

import itertools
import math
import unicodedata
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.data.encoded import EncodedWriter
from tuneloop_trainer.data.formats.row_format import Unusable
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import BadReason
from tuneloop_trainer.dataset.shards import LABELS
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import DataError, ModelAccessError
from tuneloop_trainer.tasks.task import EncodedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_trainer.data.encoded import EncodedSplit
    from tuneloop_trainer.data.row_table import RowTable
    from tuneloop_trainer.tasks.task import Row

PERCENTILE = 99.5
ROUND_TO = 8
"""Lengths are rounded up to a multiple of this: matrix units like it."""


@dataclass(frozen=True, kw_only=True)
class TextTokenizer:
    """A fast tokenizer, and how it wraps a text."""

    tokenizer: Any
    leading: int
    """Special tokens in front of a text."""
    trailing: int
    """Special tokens behind a text."""
    keep_end: bool
    """Cut at the start of a text, not at its end (`truncation_side: left`)."""
    vocabulary: int
    """Rows of the model's embedding: every id is below."""

    def kept(self, length: int, most: int) -> NDArray[np.int64]:
        """Return which of `length` tokens stay if at most `most` may, as the tokenizer itself cuts: special tokens stay. int64 [min(length, most)]."""
        over = max(0, length - most)
        cut = self.leading if self.keep_end else length - self.trailing - over
        return np.concatenate([np.arange(cut), np.arange(cut + over, length)])

    def cut(self, row: EncodedRow, most: int) -> EncodedRow:
        """Shorten a row to at most `most` tokens, all its token columns alike."""
        length = len(row.input_ids)
        if length <= most:
            return row
        kept = self.kept(length, most)
        return EncodedRow(
            input_ids=row.input_ids[kept],
            token_columns={name: values[kept] for name, values in row.token_columns.items()},
            sequences=row.sequences,
            row_columns=row.row_columns,
        )


def wrap(tokenizer: Any, *, vocabulary: int) -> TextTokenizer:
    """Find out how many special tokens the tokenizer puts around a text. Raises ModelAccessError if it makes no token of any text."""
    # not every vocabulary has Latin letters
    texts = itertools.chain("a", (tokenizer.decode([token]) for token in range(len(tokenizer))))
    masks = (tokenizer(text, return_special_tokens_mask=True)["special_tokens_mask"] for text in texts)
    special = next((mask for mask in masks if 0 in mask), None)
    if special is None:
        raise ModelAccessError(
            "model.uri: the tokenizer makes no token of any text", hint="save it with its vocabulary"
        )
    inner = [index for index, flag in enumerate(special) if not flag]
    return TextTokenizer(
        tokenizer=tokenizer,
        leading=inner[0],
        trailing=len(special) - inner[-1] - 1,
        keep_end=tokenizer.truncation_side == "left",
        vocabulary=vocabulary,
    )


@dataclass(frozen=True, kw_only=True)
class RowEncoder:
    """The tokenizer, and the task's way to use it."""

    tokenizer: TextTokenizer
    encode_rows: Callable[[Any, Sequence[Row], Mapping[str, int]], list[EncodedRow]]
    """`Task.encode`."""
    label_ids: Mapping[str, int]
    limit: int | None
    """Longest input of the model."""
    longest_target: int | None = None
    """Most tokens of a text that the model is to write; None: it writes none."""
    in_windows: bool = False
    """Long rows are read in windows, so that none of their tokens is cut off."""

    def encode(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Return whole rows as tokens. Raises ModelAccessError if an id has no embedding."""
        encoded = self.encode_rows(self.tokenizer.tokenizer, rows, self.label_ids)
        sequences = (ids for row in encoded for ids in (row.input_ids, *row.sequences.values()))
        highest = max((int(ids.max()) for ids in sequences if len(ids)), default=0)
        if highest >= self.tokenizer.vocabulary:
            raise ModelAccessError(
                f"the tokenizer makes the id {highest}, the model has {self.tokenizer.vocabulary} embeddings: they do not belong together"
            )
        return encoded


def tokenize(
    table: RowTable,
    encoder: RowEncoder,
    *,
    folder: Path,
    leave_out: Callable[[int, Unusable], None],
    progress: Callable[[float], None],
) -> dict[str, EncodedSplit]:
    """Tokenize every row that is in a split; returns what was written to `folder`, by split. Memory: one batch of rows, and 24 bytes a row.

    leave_out: is called with the index of a row whose target is too long, and why it cannot be used; the row is not written.
    """
    with ExitStack() as stack:
        writers = [stack.enter_context(EncodedWriter(folder, name)) for name in SPLITS]
        first = 0
        for batch in table.read():
            splits = table.splits[first : first + len(batch)]
            inside = np.flatnonzero(splits >= 0)
            rows = [batch[index] for index in inside]
            for row, index, encoded in zip(rows, inside, encoder.encode(rows) if rows else (), strict=True):
                length = len(encoded.input_ids)
                if length == 0:
                    raise _without_token(row, table=table, index=first + int(index))
                if (problem := _problem_of_target(row, encoded, most=encoder.longest_target)) is not None:
                    leave_out(first + int(index), problem)
                    continue
                is_whole = encoder.limit is None or encoder.in_windows
                short = encoded if is_whole else encoder.tokenizer.cut(encoded, encoder.limit or length)
                writers[splits[index]].add(short, length=length)
            first += len(batch)
            progress(first / len(table.row_ids))
    return {name: writer.finish() for name, writer in zip(SPLITS, writers, strict=True)}


def _problem_of_target(row: Row, encoded: EncodedRow, *, most: int | None) -> Unusable | None:
    """Return why a row cannot be used whose target has more tokens than the model is to write: cut, it would teach the model to stop in the middle."""
    target = encoded.sequences.get(LABELS)
    if most is None or target is None or len(target) <= most:
        return None
    return Unusable(BadReason.LONG_TARGET, excerpt_of(row["target"], about=f"{len(target):,} tokens"))


def default_max_tokens(lengths: NDArray[np.int64], *, limit: int | None) -> int:
    """Return the 99.5th percentile of the training lengths, rounded up to a multiple of 8, at most what the model can read."""
    percentile = float(np.percentile(lengths, PERCENTILE, method="higher"))
    rounded = math.ceil(percentile / ROUND_TO) * ROUND_TO
    return rounded if limit is None else min(rounded, limit)


def _without_token(row: Row, *, table: RowTable, index: int) -> DataError:
    text = " ".join(table.row_format.texts(row))
    first = f"U+{ord(text[0]):04X} {unicodedata.name(text[0], '')}".strip()
    return DataError(
        f"{table.place(index)}: the model's tokenizer makes no token of the text: it begins with {first}",
        hint="take the row out of the file",
    )
