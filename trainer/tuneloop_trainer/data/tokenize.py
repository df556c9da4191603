"""Turns texts into token ids: once, in batches, kept on disk until the cut is known."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tuneloop_trainer.data.sources.raw import excerpt_of
from tuneloop_trainer.data.sources.spool import read_spool
from tuneloop_trainer.dataset.shard_writer import ShardWriter, TextWriter
from tuneloop_trainer.dataset.shards import LABELS
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import DataError, ModelAccessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_trainer.data.formats.table import RowTable
    from tuneloop_trainer.data.steps.assign import Assigned
    from tuneloop_trainer.dataset.shards import SplitFiles, TextFile

PERCENTILE = 99.5
ROUND_TO = 8
"""Lengths are rounded up to a multiple of this: matrix units like it."""
_ROWS_BETWEEN_REPORTS = 4096


@dataclass(frozen=True, kw_only=True)
class TextTokenizer:
    """A fast tokenizer, and how it wraps a text."""

    tokenizer: Any
    leading: int
    """Special tokens in front of a text."""
    trailing: int
    """Special tokens behind it."""
    keep_end: bool
    """Cut at the start of a text, not at its end (`truncation_side: left`)."""
    vocabulary: int
    """Rows of the model's embedding: every id is below."""

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the ids of whole texts with special tokens, int32 [length] each. Raises ModelAccessError if an id has no embedding."""
        encoded = self.tokenizer(
            list(texts),
            add_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        rows = [np.array(ids, dtype=np.int32) for ids in encoded["input_ids"]]
        highest = max((int(ids.max()) for ids in rows if len(ids)), default=0)
        if highest >= self.vocabulary:
            raise ModelAccessError(
                f"the tokenizer makes the id {highest}, the model has {self.vocabulary} embeddings: they do not belong together"
            )
        return rows

    def cut(self, ids: NDArray[np.int32], most: int) -> NDArray[np.int32]:
        """Shorten to `most` tokens as the tokenizer itself would: the special tokens stay. int32 [min(length, most)]."""
        over = len(ids) - most
        if over <= 0:
            return ids
        if self.keep_end:
            return np.concatenate([ids[: self.leading], ids[self.leading + over :]])
        inner = len(ids) - self.trailing
        return np.concatenate([ids[: inner - over], ids[inner:]])


def wrap(tokenizer: Any, *, vocabulary: int) -> TextTokenizer:
    """Find out how many special tokens the tokenizer puts around a text."""
    special = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    inner = [index for index, flag in enumerate(special) if not flag]
    return TextTokenizer(
        tokenizer=tokenizer,
        leading=inner[0],
        trailing=len(special) - inner[-1] - 1,
        keep_end=tokenizer.truncation_side == "left",
        vocabulary=vocabulary,
    )


@dataclass(frozen=True, kw_only=True)
class KeptRows:
    """The rows, where they go, and what reads them."""

    table: RowTable
    assigned: Assigned
    tokenizer: TextTokenizer
    limit: int | None
    """Longest input of the model."""


@dataclass(frozen=True, kw_only=True)
class TokenizedTexts:
    """All kept rows as ids on disk, by split."""

    lengths: dict[str, NDArray[np.int64]]
    """Whole lengths before any cut, [rows of the split]."""
    ids: dict[str, Path]
    """Raw int32 files: each row's ids, cut to the model's limit."""
    texts: dict[str, TextFile]
    """The files of raw texts."""


def tokenize(rows: KeptRows, *, spool: Path, folder: Path, progress: Callable[[float], None]) -> TokenizedTexts:
    """Tokenize every row that is in a split, and write its raw text beside. Memory: one batch of texts, 8 bytes a row."""
    with ExitStack() as stack:
        writers = {name: stack.enter_context(_SplitWriter(rows, split=name, folder=folder)) for name in SPLITS}
        first = 0
        for batch in read_spool(spool):
            splits = rows.assigned.splits[first : first + len(batch)]
            for split, name in enumerate(SPLITS):
                mine = np.flatnonzero(splits == split)
                if len(mine):
                    writers[name].add([batch[index] for index in mine], indexes=mine + first)
            first += len(batch)
            progress(first / len(rows.table.rows))
    return TokenizedTexts(
        lengths={name: np.concatenate(writer.lengths) for name, writer in writers.items()},
        ids={name: writer.path for name, writer in writers.items()},
        texts={name: writer.texts.finish() for name, writer in writers.items()},
    )


class _SplitWriter:
    """Tokenizes one split's rows, batch by batch, into a raw file of ids, and writes their texts."""

    def __init__(self, rows: KeptRows, *, split: str, folder: Path) -> None:
        self._rows = rows
        self.path = folder / f".{split}.ids"
        self.lengths: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        self.texts = TextWriter(folder, split)
        self._file = self.path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.texts.close()

    def add(self, texts: list[str], *, indexes: NDArray[np.int64]) -> None:
        """Append rows; `indexes`: their places in the table."""
        rows = self._rows
        encoded = rows.tokenizer.encode(texts)
        empty = next((place for place, ids in enumerate(encoded) if len(ids) == 0), None)
        if empty is not None:
            place = rows.table.place(int(indexes[empty]))
            raise DataError(
                f"{place}: the model's tokenizer makes no token of the text {excerpt_of(ascii(texts[empty]))}",
                hint="take the row out of the file",
            )
        self.lengths.append(np.array([len(ids) for ids in encoded], dtype=np.int64))
        for ids in encoded:
            (ids if rows.limit is None else rows.tokenizer.cut(ids, rows.limit)).tofile(self._file)
        self.texts.write(
            rows=rows.table.rows[indexes].tolist(),
            texts=texts,
            labels=[rows.assigned.classes[label] for label in rows.assigned.labels[indexes]],
        )


def default_max_tokens(lengths: NDArray[np.int64], *, limit: int | None) -> int:
    """Return the 99.5th percentile of the training lengths, rounded up to a multiple of 8, at most what the model can read."""
    percentile = float(np.percentile(lengths, PERCENTILE, method="higher"))
    rounded = math.ceil(percentile / ROUND_TO) * ROUND_TO
    return rounded if limit is None else min(rounded, limit)


def write_splits(
    rows: KeptRows, tokenized: TokenizedTexts, *, max_tokens: int, folder: Path, progress: Callable[[float], None]
) -> dict[str, SplitFiles]:
    """Cut every row to `max_tokens` and write the shards; the raw ids are deleted."""
    total = sum(len(lengths) for lengths in tokenized.lengths.values())
    written, done = {}, 0
    for name in SPLITS:
        writer = ShardWriter(folder, name)
        for ids, index in zip(_stored(tokenized, name, rows.limit), rows.assigned.indexes(name), strict=True):
            label, row = int(rows.assigned.labels[index]), int(rows.table.rows[index])
            writer.add(ids=rows.tokenizer.cut(ids, max_tokens), row=row, row_columns={LABELS: label})
            done += 1
            if done % _ROWS_BETWEEN_REPORTS == 0:
                progress(done / total)
        written[name] = writer.finish([tokenized.texts[name]])
        tokenized.ids[name].unlink()
    return written


def _stored(tokenized: TokenizedTexts, split: str, limit: int | None) -> Iterator[NDArray[np.int32]]:
    """Yield the rows of a raw file of ids."""
    lengths = tokenized.lengths[split]
    stored = lengths if limit is None else np.minimum(lengths, limit)
    with tokenized.ids[split].open("rb") as file:
        for length in stored:
            yield np.fromfile(file, dtype=np.int32, count=int(length))
