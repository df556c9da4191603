"""The step `label-ids`: which labels there are, in the order of their ids, and that every split has rows of every class."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.data.row_table import OUT
from tuneloop_trainer.data.steps.step import DataStep, StepContext, StepResult
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.data.row_table import RowTable

MOST_LABELS = 1000


def run(table: RowTable, context: StepContext) -> StepResult:
    """Name the labels: those of `model.labels`, or those of the rows. Raises DataError, with advice, if a split lacks a class."""
    given = context.settings.model.labels
    labels = _labels_of_rows(table) if given is None else list(given)
    _refuse_unusual(labels)
    classes = classes_of(table, labels)
    if len(classes) < table.row_format.fewest_classes:
        raise DataError(
            table.row_format.no_classes.format(label=repr(classes[0] if classes else None)),
            hint="check columns.label, or set labelRule if the column holds a number"
            if table.row_format.one_label
            else None,
        )
    counts = class_counts(table, classes)
    for split, name in enumerate(SPLITS):
        missing = np.flatnonzero(counts[split] == 0)
        if len(missing):
            raise _missing_class(
                counts, table=table, split=name, missing=[classes[index] for index in missing], first=int(missing[0])
            )
    return StepResult(table=replace(table, labels=labels), facts={"labels": len(labels), "classes": len(classes)})


def classes_of(table: RowTable, labels: Sequence[str]) -> list[str]:
    """Return the classes that labels stand for, in the order of the labels."""
    classes = (table.row_format.class_of(label) for label in labels)
    return list(dict.fromkeys(name for name in classes if name is not None))


def class_counts(table: RowTable, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return how many rows of each split have each class, int64 [3, C]."""
    place = {name: index for index, name in enumerate(classes)}
    has = np.zeros((len(table.label_sets), len(classes)), dtype=np.int64)
    for index, labels in enumerate(table.label_sets):
        of_set = {table.row_format.class_of(label) for label in labels}
        has[index, [place[name] for name in of_set if name in place]] = 1
    counts = [
        np.bincount(table.label_set_ids[table.indexes(split)], minlength=len(has)) for split in range(len(SPLITS))
    ]
    return np.stack(counts) @ has


def _labels_of_rows(table: RowTable) -> list[str]:
    inside = np.unique(table.label_set_ids[table.splits != OUT])
    return table.row_format.label_names({label for index in inside for label in table.label_sets[index]})


def _refuse_unusual(labels: list[str]) -> None:
    if len(labels) > MOST_LABELS:
        shown = ", ".join(map(repr, labels[:3]))
        raise DataError(
            f"there are {len(labels):,} distinct labels, at most {MOST_LABELS:,} are allowed; the first: {shown}",
            hint="check columns.label, or set labelRule if the column holds a number",
        )
    if len(set(labels)) < len(labels):
        raise ConfigError(f"model.labels: {', '.join(labels)} has a class twice")


def _missing_class(
    counts: NDArray[np.int64], *, table: RowTable, split: str, missing: list[str], first: int
) -> DataError:
    rows = int(counts[:, first].sum())
    spread = ", ".join(f"{int(counts[index, first])} in {name}" for index, name in enumerate(SPLITS))
    others = f" (and {len(missing) - 1} more: {', '.join(map(repr, missing[1:4]))})" if len(missing) > 1 else ""
    divide = "data.split: {method: random} (stratified), or another" if table.row_format.one_label else "another"
    return DataError(
        f"the class {missing[0]!r}{others} has no row in the {split} split; it has {rows} in all: {spread}",
        hint=f"add rows of it; or set {divide} split.seed; or leave the class out",
    )


STEP = DataStep(
    name="label-ids",
    version=1,
    settings=lambda settings: {} if settings.model.labels is None else {"labels": settings.model.labels},
    run=run,
)
