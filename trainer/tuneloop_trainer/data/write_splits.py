"""Cuts the encoded rows and writes the files of each split: shards of tokens, and the rows themselves in the same order."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from tuneloop_trainer.data.row_table import OUT, TRAIN
from tuneloop_trainer.data.steps.exact_duplicates import equal_ids
from tuneloop_trainer.dataset.shard_writer import RowWriter, ShardWriter, count_targets
from tuneloop_trainer.dataset.shards import GROUPS, WINDOW
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tuneloop_trainer.data.encoded import EncodedSplit
    from tuneloop_trainer.data.row_table import RowTable
    from tuneloop_trainer.dataset.shards import SplitFiles
    from tuneloop_trainer.tasks.task import EncodedRow, Row


@dataclass(frozen=True, kw_only=True)
class WrittenSplits:
    """What was written."""

    files: dict[str, SplitFiles]
    table: RowTable
    """The rows that were written; those without a target are left out."""
    without_target: dict[str, int]
    """Rows whose targets all fell to the cut, by split. They teach nothing, and nothing of them can be measured: they are left out."""
    windows: dict[str, int]
    """Windows in which the rows are read, by split; empty where long rows are cut."""


def write_splits(
    table: RowTable,
    encoded: Mapping[str, EncodedSplit],
    *,
    cut: Callable[[EncodedRow], list[EncodedRow]],
    max_tokens: int,
    limit: int | None,
    with_targets: Callable[[EncodedRow, int], EncodedRow],
    as_trained: Callable[[EncodedRow], EncodedRow],
    folder: Path,
    progress: Callable[[float], None],
) -> WrittenSplits:
    """Cut every row and write it; the files of encoded rows are deleted.

    cut: a row → the row with at most `max_tokens` tokens, or its windows of at most so many; none: it cannot be read. limit: longest input of the model.
    with_targets: `Task.with_targets`. as_trained: changes the rows of the training split after the cut.

    Raises DataError if no row of a split is left.
    """
    splits = table.splits.copy()
    groups = None if table.group_keys is None else equal_ids(table.group_keys)
    with ExitStack() as stack:
        writers = [stack.enter_context(_SplitWriter(folder, name, table=table)) for name in SPLITS]
        rows_of_split = [encoded[name].read() for name in SPLITS]
        first = 0
        for batch in table.read():
            for index, row in enumerate(batch, start=first):
                if (split := int(table.splits[index])) == OUT:
                    continue
                row_id = int(table.row_ids[index])
                parts = [with_targets(part, row_id) for part in cut(next(rows_of_split[split]))]
                if split == TRAIN:
                    parts = list(map(as_trained, parts))
                if groups is not None:
                    parts = [_in_group(part, int(groups[index])) for part in parts]
                if parts and all(count_targets(part.token_columns, part.sequences) for part in parts):
                    writers[split].add(row, parts, row_id=row_id)
                else:
                    splits[index] = OUT
            for writer in writers:
                writer.end_batch()
            first += len(batch)
            progress(first / len(splits))
        files = {name: writer.finish() for name, writer in zip(SPLITS, writers, strict=True)}
    for name in SPLITS:
        encoded[name].delete()
    left_out = {name: len(encoded[name].lengths) - files[name].source_rows for name in SPLITS}
    if (empty := next((name for name in SPLITS if files[name].rows == 0), None)) is not None:
        raise DataError(
            f"data.maxTokens: {max_tokens} tokens hold nothing to learn of any row of the {empty} split",
            hint="set data.maxTokens higher"
            if limit is None or max_tokens < limit
            else "the model reads no more: shorten the rows, or use a model that reads longer texts",
        )
    windows = {name: of_split.rows for name, of_split in files.items() if WINDOW in of_split.row_columns}
    return WrittenSplits(files=files, table=replace(table, splits=splits), without_target=left_out, windows=windows)


def _in_group(row: EncodedRow, group: int) -> EncodedRow:
    return replace(row, row_columns={**row.row_columns, GROUPS: group})


class _SplitWriter:
    """Writes a split's shards, and its rows in the same order."""

    def __init__(self, folder: Path, split: str, *, table: RowTable) -> None:
        self._shards = ShardWriter(folder, split)
        self._rows = RowWriter(folder, split, schema=table.row_format.schema)
        self._batch: list[tuple[int, Row]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def add(self, row: Row, parts: Sequence[EncodedRow], *, row_id: int) -> None:
        """Append a row, with its tokens in one part, or in a part for each window."""
        self._batch.append((row_id, row))
        for part in parts:
            self._shards.add(
                ids=part.input_ids,
                row=row_id,
                row_columns=part.row_columns,
                token_columns=part.token_columns,
                sequences=part.sequences,
            )

    def end_batch(self) -> None:
        """Write the rows that came since the last batch."""
        if self._batch:
            self._rows.write(self._batch)
        self._batch = []

    def finish(self) -> SplitFiles:
        """Close the files and describe them."""
        return self._shards.finish([self._rows.finish()])
