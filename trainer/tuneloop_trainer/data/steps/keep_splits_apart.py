"""The step `keep-splits-apart`: no text stands in two splits. Training gives way to validation, and both give way to test."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.data.row_table import OUT, TEST, TRAIN, VALIDATION
from tuneloop_trainer.data.steps.exact_duplicates import equal_ids
from tuneloop_trainer.data.steps.step import DataStep, StepContext, StepResult
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_trainer.data.row_table import RowTable


def run(table: RowTable, context: StepContext) -> StepResult:
    """Leave out rows whose text stands in another split. Raises DataError if there are such rows and `acrossSplits` is off, or if a split has no
    other rows.

    Groups that stand in two given splits are counted: they were given so.
    """
    texts = equal_ids(table.text_keys)
    leaks = leaking(texts, table.splits)
    if leaks.any() and not context.settings.data.deduplicate.across_splits:
        raise _overlap(leaks, texts=texts, table=table)
    splits = np.where(leaks, np.int8(OUT), table.splits)
    for split in (TRAIN, VALIDATION):
        if (table.splits == split).any() and not (splits == split).any():
            raise _emptied(split, texts=texts, table=table)
    facts: dict[str, Any] = {"acrossSplits": int(leaks.sum()), "sharedTexts": shared(texts, splits)}
    if table.group_keys is not None:
        facts["sharedGroups"] = shared(equal_ids(table.group_keys), splits)
    return StepResult(table=replace(table, splits=splits), facts=facts)


def leaking(texts: NDArray[np.int64], splits: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return which rows must leave their split: those of train whose text stands in validation or test, those of validation whose text
    stands in test. [N].
    """
    in_test = np.isin(texts, texts[splits == TEST])
    in_validation = np.isin(texts, texts[splits == VALIDATION])
    return ((splits == TRAIN) & (in_test | in_validation)) | ((splits == VALIDATION) & in_test)


def shared(ids: NDArray[np.int64], splits: NDArray[np.int8]) -> dict[str, int]:
    """Return how many ids stand in both of two splits, by pair of splits."""
    own = {name: np.unique(ids[splits == split]) for split, name in enumerate(SPLITS)}
    return {f"{left}+{right}": len(np.intersect1d(own[left], own[right])) for left, right in combinations(SPLITS, 2)}


def _emptied(split: int, *, texts: NDArray[np.int64], table: RowTable) -> DataError:
    rows = table.indexes(split)
    first = int(rows[0])
    other = int(np.flatnonzero((texts == texts[first]) & (table.splits > split))[0])
    return DataError(
        f"all {len(rows):,} rows of the {SPLITS[split]} split have texts that stand in another split, too, and none is left: for example "
        f"{table.place(first)} ({SPLITS[split]}) and {table.place(other)} ({SPLITS[table.splits[other]]})",
        hint="give each split rows of its own: the same rows stand in two sources; without data.validation and data.test the rows of "
        "data.train are divided",
    )


def _overlap(leaks: NDArray[np.bool_], *, texts: NDArray[np.int64], table: RowTable) -> DataError:
    splits = table.splits
    first = int(np.flatnonzero(leaks)[0])
    other = int(np.flatnonzero((texts == texts[first]) & (splits > splits[first]))[0])
    return DataError(
        f"splits overlap: the texts of {int(leaks.sum())} rows stand in two splits, for example {table.place(first)} "
        f"({SPLITS[splits[first]]}) and {table.place(other)} ({SPLITS[splits[other]]})",
        hint="set data.deduplicate.acrossSplits: true to take them out of the training rows, or mend the files",
    )


STEP = DataStep(
    name="keep-splits-apart",
    version=1,
    settings=lambda settings: settings.data.deduplicate.non_defaults("across_splits"),
    run=run,
)
