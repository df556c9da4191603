"""Decides for every row: out, train, validation or test. Pure: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.data.formats.labels import in_order
from tuneloop_trainer.data.formats.table import TEST, TRAIN, VALIDATION
from tuneloop_trainer.data.steps.deduplicate import conflicting, equal_ids, leaking, repeated
from tuneloop_trainer.data.steps.split import divide, refuse_unusable
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_api.contract.run_config import DataSettings
    from tuneloop_trainer.data.formats.table import RowTable

MOST_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """The split and class id of each row of the table."""

    splits: NDArray[np.int8]
    """Index into SPLITS, -1 for rows that are out. [N]."""
    labels: NDArray[np.int64]
    """Class id, [N]."""
    classes: list[str]
    """Class names in the order of their ids."""
    repeated: int
    """Rows left out because an earlier row of the same source group has their text."""
    across_splits: int
    """Rows left out because their text stands in validation or test."""
    conflicting: int
    """Rows whose text had another label when it was first seen."""
    conflict: str | None
    """One of these, with its place."""
    shared_texts: dict[str, int]
    """Texts that stand in both of two splits; all 0."""
    shared_groups: dict[str, int] | None
    """Groups that stand in both of two splits, where rows are grouped; not 0 only for splits that were given so."""

    def indexes(self, split: str) -> NDArray[np.int64]:
        """Return the table indexes of a split's rows, in reading order."""
        return np.flatnonzero(self.splits == SPLITS.index(split))


def assign(table: RowTable, *, data: DataSettings, labels: Sequence[str] | None) -> Assigned:
    """Remove repeated rows, divide the rest, and keep the splits apart.

    Raises DataError if the splits overlap (and `acrossSplits` is off), a class is missing from one, or there is one class only.
    """
    texts = equal_ids(table.text_keys)
    again = repeated(texts, table.pools) if data.deduplicate.exact else np.zeros(len(texts), dtype=np.bool_)
    splits = np.where(again, np.int8(-1), table.pools)
    _split_off(splits, table=table, data=data)
    leaks = leaking(texts, splits)
    if leaks.any() and not data.deduplicate.across_splits:
        raise _overlap(leaks, texts=texts, splits=splits, table=table)
    splits[leaks] = -1
    classes, ids = _class_ids(table, inside=splits >= 0, labels=labels)
    refuse_unusable(splits, ids, classes=classes)
    conflicts = conflicting(texts, table.labels)
    return Assigned(
        splits=splits,
        labels=ids,
        classes=classes,
        repeated=int(again.sum()),
        across_splits=int(leaks.sum()),
        conflicting=len(conflicts),
        conflict=table.place(int(conflicts[0])) if len(conflicts) else None,
        shared_texts=_shared(texts, splits),
        shared_groups=None if table.group_keys is None else _shared(equal_ids(table.group_keys), splits),
    )


def _split_off(splits: NDArray[np.int8], *, table: RowTable, data: DataSettings) -> None:
    """Move rows of the training sources to the splits that have no source of their own, in place."""
    fractions = {}
    if data.validation is None:
        fractions[VALIDATION] = data.split.validation
    if data.test is None:
        fractions[TEST] = data.split.test
    if not fractions:
        return
    mine = np.flatnonzero(splits == TRAIN)
    keys = table.text_keys if table.group_keys is None else table.group_keys
    splits[mine] = divide(keys=keys[mine], labels=table.labels[mine], fractions=fractions, settings=data.split)


def _class_ids(
    table: RowTable, *, inside: NDArray[np.bool_], labels: Sequence[str] | None
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the class names, given or sorted from the rows that are left, and each row's id (-1: its class is gone)."""
    present = {table.classes[index] for index in np.unique(table.labels[inside])}
    classes = in_order(present) if labels is None else list(labels)
    if len(classes) > MOST_CLASSES:
        shown = ", ".join(map(repr, classes[:3]))
        raise DataError(
            f"there are {len(classes):,} distinct labels, at most {MOST_CLASSES:,} are allowed; the first: {shown}",
            hint="check columns.label, or set labelRule if the column holds a number",
        )
    if len(set(classes)) < len(classes):
        raise ConfigError(f"model.labels: {', '.join(classes)} has a class twice")
    place = {name: index for index, name in enumerate(classes)}
    ids = np.array([place.get(name, -1) for name in table.classes], dtype=np.int64)
    return classes, ids[table.labels]


def _overlap(
    leaks: NDArray[np.bool_], *, texts: NDArray[np.int64], splits: NDArray[np.int8], table: RowTable
) -> DataError:
    first = int(np.flatnonzero(leaks)[0])
    other = int(np.flatnonzero((texts == texts[first]) & (splits > splits[first]))[0])
    return DataError(
        f"splits overlap: the texts of {int(leaks.sum())} rows stand in two splits, for example {table.place(first)} "
        f"({SPLITS[splits[first]]}) and {table.place(other)} ({SPLITS[splits[other]]})",
        hint="set data.deduplicate.acrossSplits: true to take them out of the training rows, or mend the files",
    )


def _shared(ids: NDArray[np.int64], splits: NDArray[np.int8]) -> dict[str, int]:
    own = {name: np.unique(ids[splits == index]) for index, name in enumerate(SPLITS)}
    pairs = (("train", "validation"), ("train", "test"), ("validation", "test"))
    return {f"{one}+{other}": len(np.intersect1d(own[one], own[other])) for one, other in pairs}
