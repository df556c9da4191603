"""The step `label-ids`: which labels there are, in the order of their ids, and that every split has rows of every class, where it must."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.wire.printable import printable
from tuneloop_trainer.data.formats.labels import alike, median_of_numbers
from tuneloop_trainer.data.missing_class import MissingClass
from tuneloop_trainer.data.row_table import OUT, TRAIN
from tuneloop_trainer.data.sources.excerpt import masked
from tuneloop_trainer.data.steps.step import DataStep, StepContext, StepResult
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.row_table import RowTable

MOST_LABELS = 1000
_SHOWN = 3


def run(table: RowTable, context: StepContext) -> StepResult:
    """Name the labels: those of `model.labels`, or those of the rows. Raises DataError, with advice, if a split lacks a class that it must have."""
    given = context.settings.model.labels
    labels = _labels_of(table, table.splits != OUT) if given is None else list(given)
    _refuse_unusual(labels)
    classes = classes_of(table, labels)
    if len(classes) < table.row_format.fewest_classes:
        raise _too_few_classes(table, classes)
    if not table.row_format.fewest_classes:
        _refuse_empty_split(table)
    counts = class_counts(table, classes)
    data = context.settings.data
    lacking = [
        split
        for split in np.flatnonzero((counts == 0).any(axis=1)).tolist()
        if split == TRAIN or not data.allow_missing_classes
    ]
    if lacking:
        raise _missing_class(table, counts, classes=classes, split=lacking[0]).error(data)
    facts = {
        "labels": len(labels),
        "classes": len(classes),
        "alike": alike(classes) if given is None else [],
        "missing": {
            name: [classes[index] for index in np.flatnonzero(counts[split] == 0).tolist()]
            for split, name in enumerate(SPLITS)
            if not counts[split].all()
        },
        "numbers": given is None and table.row_format.one_label and median_of_numbers(classes) is not None,
    }
    return StepResult(table=replace(table, labels=labels), facts=facts)


def classes_of(table: RowTable, labels: Sequence[str]) -> list[str]:
    """Return the classes that labels stand for, in the order of the labels."""
    classes = (table.row_format.class_of(label) for label in labels)
    return list(dict.fromkeys(name for name in classes if name is not None))


def class_counts(table: RowTable, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return how many rows of each split have each class, int64 [3, C]."""
    return _rows_of_classes(table, classes, splits=range(len(SPLITS)))


def _rows_of_classes(table: RowTable, classes: Sequence[str], *, splits: Sequence[int]) -> NDArray[np.int64]:
    place = {name: index for index, name in enumerate(classes)}
    has = np.zeros((len(table.label_sets), len(classes)), dtype=np.int64)
    for index, labels in enumerate(table.label_sets):
        of_set = {table.row_format.class_of(label) for label in labels}
        has[index, [place[name] for name in of_set if name in place]] = 1
    counts = [np.bincount(table.label_set_ids[table.indexes(split)], minlength=len(has)) for split in splits]
    return np.stack(counts) @ has


def _labels_of(table: RowTable, rows: NDArray[np.bool_]) -> list[str]:
    inside = np.unique(table.label_set_ids[rows])
    return table.row_format.label_names({label for index in inside for label in table.label_sets[index]})


def _refuse_unusual(labels: list[str]) -> None:
    if len(labels) > MOST_LABELS:
        shown = masked(printable(", ".join(map(repr, labels[:3]))))
        raise DataError(
            f"there are {len(labels):,} distinct labels, at most {MOST_LABELS:,} are allowed; the first: {shown}",
            hint="check columns.label, or set labelRule if the column holds a number",
        )
    if len(set(labels)) < len(labels):
        raise ConfigError(f"model.labels: {', '.join(labels)} has a class twice")


def _refuse_empty_split(table: RowTable) -> None:
    """Rows without classes: a split that has rows of every class has rows, and this one need not."""
    for split, name in enumerate(SPLITS):
        if not len(table.indexes(split)):
            raise DataError(f"the {name} split has no row", hint="add rows; or set another data.split.seed or fraction")


def _too_few_classes(table: RowTable, classes: list[str]) -> DataError:
    message = table.row_format.no_classes.format(label=repr(classes[0] if classes else None))
    others = [name for name in classes_of(table, _labels_of(table, table.splits == OUT)) if name not in classes]
    if others:
        count = int(_rows_of_classes(table, others, splits=[OUT]).sum())
        named = ", ".join(map(repr, others[:_SHOWN]))
        return DataError(
            f"{message}; {count:,} rows of {named} were left out, since their texts repeat others",
            hint="give each text one label: the label of its first row stays",
        )
    hint = "check columns.label, or set labelRule if the column holds a number"
    return DataError(message, hint=hint if table.row_format.one_label else None)


def _missing_class(table: RowTable, counts: NDArray[np.int64], *, classes: Sequence[str], split: int) -> MissingClass:
    missing = np.flatnonzero(counts[split] == 0)
    first = int(missing[0])
    return MissingClass(
        split=SPLITS[split],
        missing=[classes[index] for index in missing.tolist()],
        classes=classes,
        rows=counts[:, first].tolist(),
        left_out=int(_rows_of_classes(table, classes, splits=[OUT])[0, first]),
        one_label=table.row_format.one_label,
    )


def _settings(settings: Settings) -> dict[str, Any]:
    labels = {} if settings.model.labels is None else {"labels": settings.model.labels}
    return labels | ({"allowMissingClasses": True} if settings.data.allow_missing_classes else {})


STEP = DataStep(
    name="label-ids",
    version=1,
    settings=_settings,
    run=run,
)
