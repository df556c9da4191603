"""The step `exact-duplicates`: of rows with the same text and source split, only the first stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.data.row_table import OUT
from tuneloop_trainer.data.steps.step import DataStep, StepContext, StepResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_trainer.data.row_table import RowTable


def run(table: RowTable, context: StepContext) -> StepResult:
    """Leave out repeated rows, if `data.deduplicate.exact`; rows that contradict an earlier one are counted in any case."""
    inside = np.flatnonzero(table.splits != OUT)
    texts = equal_ids(table.text_keys[inside])
    conflicts = inside[conflicting(texts, table.answer_keys[inside])]
    splits, again = table.splits.copy(), inside[:0]
    if context.settings.data.deduplicate.exact:
        again = inside[repeated(texts, table.source_splits[inside])]
    splits[again] = OUT
    facts = {
        "withinSplit": len(again),
        "conflictingLabels": len(conflicts),
        "firstConflict": table.place(int(conflicts[0])) if len(conflicts) else None,
    }
    return StepResult(table=replace(table, splits=splits), facts=facts)


def equal_ids(keys: NDArray[np.void]) -> NDArray[np.int64]:
    """Return small integers that are equal where the keys are. V16 [N] to int64 [N]."""
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)


def repeated(texts: NDArray[np.int64], source_splits: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return which rows repeat the text of an earlier row of their own source split. [N]."""
    _, first = np.unique(texts * 4 + source_splits, return_index=True)
    again = np.ones(len(texts), dtype=np.bool_)
    again[first] = False
    return again


def conflicting(texts: NDArray[np.int64], answers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the indexes of the rows whose text had another answer when it was first seen, in order."""
    _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
    return np.flatnonzero(answers != answers[first][inverse])


STEP = DataStep(
    name="exact-duplicates",
    version=1,
    settings=lambda settings: settings.data.deduplicate.non_defaults("exact"),
    run=run,
)
