"""Makes tokens of the rows to compare, as each of the two models reads them when it is served.

Shapes: N = rows of the set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.data.tokenize import wrap
from tuneloop_trainer.dataset.shard_writer import count_targets
from tuneloop_trainer.dataset.shards import TokenizedSplit
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.export.champion.artifact import FIELD
from tuneloop_trainer.failures import first_line
from tuneloop_trainer.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneloop_trainer.export.champion.artifact import Champion
    from tuneloop_trainer.tasks.task import EncodedRow, Row, Task

_AT_ONCE = 1024
"""Rows that a tokenizer gets at a time."""


def tokenizer_of(champion: Champion, *, task: Task) -> Any:
    """Return the champion's tokenizer. Raises ConfigError if its files hold none."""
    try:
        return load_tokenizer(champion.model, as_text=task.reads_text_alone)
    except MemoryError:
        raise
    except Exception as error:  # whatever transformers raises for files that it cannot read
        raise ConfigError(f"{FIELD}: the champion's tokenizer cannot be loaded: {first_line(error)}") from error


def encode_rows(rows: Sequence[Row], tokenizer: Any, *, task: Task, label_ids: Mapping[str, int]) -> list[EncodedRow]:
    """Return the rows as tokens, whole."""
    starts = range(0, len(rows), _AT_ONCE)
    return [row for start in starts for row in task.encode(tokenizer, rows[start : start + _AT_ONCE], label_ids)]


def require_same_tokens(challenger: Sequence[EncodedRow], champion: Sequence[EncodedRow], *, name: str) -> None:
    """Raise ConfigError if the champion's tokenizer reads a row otherwise. name: of the set."""
    for number, (own, other) in enumerate(zip(challenger, champion, strict=True), start=1):
        if not np.array_equal(own.input_ids, other.input_ids):
            raise ConfigError(
                f"{FIELD}: the champion's tokenizer reads row {number} of the {name} set otherwise: {len(other.input_ids)} tokens, "
                f"{len(own.input_ids)} are expected",
                hint="only models with the same tokenizer are compared: leave compareWith out, or train from the champion's base model",
            )


def cuts_of(rows: Sequence[EncodedRow], *, challenger: int, champion: int) -> tuple[int, int]:
    """Return to how many tokens the rows are cut for each of the two models, from what each cuts to when it is served.

    Where tokens are targets, both are cut alike: words that one of them does not read cannot be compared.
    """
    if rows and rows[0].token_columns:
        return (min(challenger, champion),) * 2
    return challenger, champion


def as_split(rows: Sequence[EncodedRow], tokenizer: Any, *, max_tokens: int, name: str) -> TokenizedSplit:
    """Return the rows, cut to `max_tokens`, as the task's functions read them; row ids count from 0."""
    wrapped = wrap(tokenizer, vocabulary=len(tokenizer))
    cut = [wrapped.cut(row, max_tokens) for row in rows]
    lengths = np.array([len(row.input_ids) for row in cut], dtype=np.int64)
    return TokenizedSplit(
        name=name,
        lengths=lengths,
        rows=np.arange(len(cut)),
        targets=np.array([count_targets(row.token_columns) for row in cut], dtype=np.int64),
        row_columns={
            column: np.array([row.row_columns[column] for row in cut], dtype=np.int64) for column in cut[0].row_columns
        },
        ids=(np.concatenate([row.input_ids for row in cut]),),
        token_columns={
            column: (np.concatenate([row.token_columns[column] for row in cut]),) for column in cut[0].token_columns
        },
        first_rows=np.array([0, len(cut)], dtype=np.int64),
        starts=np.cumsum([0, *lengths[:-1]], dtype=np.int64),
    )
