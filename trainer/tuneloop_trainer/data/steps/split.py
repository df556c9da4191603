"""Which row goes to which split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xxhash

from tuneloop_trainer.data.formats.table import TEST, TRAIN, VALIDATION
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_api.contract.run_config import SplitSettings

_TWO_TO_64 = 2.0**64


def divide(
    *, keys: NDArray[np.void], labels: NDArray[np.int32], fractions: dict[int, float], settings: SplitSettings
) -> NDArray[np.int8]:
    """Return the split of each row of the training sources. int8 [N].

    `keys` V16 [N]: rows with equal keys (the same text, or the same group) go to the same side. `fractions`: of the splits that
    have no source of their own; all other rows stay in train.
    """
    units, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    if settings.method == "hash":
        sides = _by_hash(units, fractions=fractions, seed=settings.seed)
    else:
        sizes = np.bincount(inverse, minlength=len(units))
        stratify = settings.group_by is None if settings.stratify is None else settings.stratify
        classes = labels[first] if stratify else np.zeros(len(units), dtype=np.int32)
        order = np.argsort(first, kind="stable")  # reading order: the result must not depend on the hashes' order
        shuffled = order[np.random.default_rng(settings.seed).permutation(len(units))]
        sides = _by_share(shuffled, sizes=sizes, classes=classes, fractions=fractions)
    return sides[inverse]


def refuse_unusable(splits: NDArray[np.int8], labels: NDArray[np.int64], *, classes: list[str]) -> None:
    """Raise DataError, with advice, if there is only one class, or one is missing from a split. -1 in `splits`: row is out."""
    counts = class_counts(splits, labels, classes=len(classes))
    if len(classes) < 2:
        raise DataError(
            f"all rows have one label, {classes[0] if classes else None!r}; at least two are needed",
            hint="check columns.label, or set labelRule if the column holds a number",
        )
    for split, name in enumerate(SPLITS):
        missing = [index for index in range(len(classes)) if counts[split, index] == 0]
        if missing:
            raise _missing_class(counts, split=name, missing=[classes[index] for index in missing], first=missing[0])


def class_counts(splits: NDArray[np.int8], labels: NDArray[np.int64], *, classes: int) -> NDArray[np.int64]:
    """Return rows by split and class, int64 [3, C]."""
    counts = np.zeros((len(SPLITS), classes), dtype=np.int64)
    inside = splits >= 0
    np.add.at(counts, (splits[inside], labels[inside]), 1)
    return counts


def _by_hash(units: NDArray[np.void], *, fractions: dict[int, float], seed: int) -> NDArray[np.int8]:
    """Place each key by its own hash alone, so that other rows never change its side."""
    values = np.array([xxhash.xxh3_64_intdigest(unit.tobytes(), seed=seed) / _TWO_TO_64 for unit in units])
    sides = np.full(len(units), TRAIN, dtype=np.int8)
    test = fractions.get(TEST, 0.0)
    sides[values < test + fractions.get(VALIDATION, 0.0)] = VALIDATION
    sides[values < test] = TEST
    return sides


def _by_share(
    shuffled: NDArray[np.int64], *, sizes: NDArray[np.int64], classes: NDArray[np.int32], fractions: dict[int, float]
) -> NDArray[np.int8]:
    """Fill test, then validation, class by class in shuffled order, until each has its share of the class's rows.

    Each split gets at least one unit of a class that has enough of them.
    """
    sides = np.full(len(sizes), TRAIN, dtype=np.int8)
    for label in np.unique(classes):
        units = shuffled[classes[shuffled] == label]
        before = np.cumsum(sizes[units]) - sizes[units] / 2  # a unit belongs where its middle row lies
        rows = sizes[units].sum()
        start = 0.0
        begin = 0
        for split in sorted(fractions, reverse=True):
            start += fractions[split] * rows
            end = max(int(np.searchsorted(before, start)), begin + 1 if len(units) > len(fractions) else begin)
            sides[units[begin:end]] = split
            begin = end
    return sides


def _missing_class(counts: NDArray[np.int64], *, split: str, missing: list[str], first: int) -> DataError:
    rows = int(counts[:, first].sum())
    spread = ", ".join(f"{int(counts[index, first])} in {name}" for index, name in enumerate(SPLITS))
    others = f" (and {len(missing) - 1} more: {', '.join(map(repr, missing[1:4]))})" if len(missing) > 1 else ""
    return DataError(
        f"the class {missing[0]!r}{others} has no row in the {split} split; it has {rows} in all: {spread}",
        hint="add rows of it; or set data.split: {method: random} (stratified), or another split.seed; or leave the class out",
    )
