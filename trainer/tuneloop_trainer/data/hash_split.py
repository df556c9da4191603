"""Dividing by the hash of the content: a row stays on its side when other rows are added. Pure.

Chance may leave a split without a row of a rare class. Then the row of the class that lies nearest is moved: nothing can be measured of a class
without rows. Such a row goes back once the class has a row there by its own hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xxhash

from tuneloop_trainer.data.row_table import TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_TWO_TO_64 = 2.0**64


def by_hash(units: NDArray[np.void], *, fractions: Mapping[int, float], seed: int) -> NDArray[np.int8]:
    """Place each key by its own hash alone, so that other rows never change its split. units: V16 [U]; returns int8 [U]."""
    values = _values(units, seed=seed)
    splits = np.full(len(units), TRAIN, dtype=np.int8)
    for split, (low, high) in _ranges(fractions).items():
        splits[(values >= low) & (values < high)] = split
    return splits


def with_every_class(
    splits: NDArray[np.int8],
    *,
    keys: NDArray[np.void],
    strata: NDArray[np.int32],
    fractions: Mapping[int, float],
    seed: int,
) -> NDArray[np.int8]:
    """Return the splits, int8 [N], with rows moved so that each class has one in every split; a class with fewer texts than splits stays as it is.

    splits: as `by_hash` gave them. keys: V16 [N], of the texts; rows with equal keys move together. strata: int32 [N], the class of each row.
    """
    splits = splits.copy()
    wanted = [*_ranges(fractions)]
    counts = np.stack([np.bincount(strata[splits == split], minlength=strata.max(initial=0) + 1) for split in wanted])
    for stratum in np.flatnonzero(counts.any(axis=0) & ~counts.all(axis=0)):
        units, first = np.unique(keys[strata == stratum], return_index=True)
        if len(units) >= len(wanted):
            before = splits[strata == stratum][first]
            for unit in np.flatnonzero((after := _spread(before, units, fractions=fractions, seed=seed)) != before):
                splits[keys == units[unit]] = after[unit]
    return splits


def _spread(
    splits: NDArray[np.int8], units: NDArray[np.void], *, fractions: Mapping[int, float], seed: int
) -> NDArray[np.int8]:
    """Return the splits of one class's texts, int8 [U], with the nearest text moved into each split that has none."""
    splits, values = splits.copy(), _values(units, seed=seed)
    for split, (low, high) in _ranges(fractions).items():
        if split not in splits:
            distance = np.maximum(np.maximum(low - values, values - high), 0.0)
            may_go = np.bincount(splits, minlength=3)[splits] > 1
            splits[np.argmin(np.where(may_go, distance, np.inf))] = split
    return splits


def _ranges(fractions: Mapping[int, float]) -> dict[int, tuple[float, float]]:
    """Return the range of hash values of each split that rows may go to."""
    test = fractions.get(TEST, 0.0)
    held_out = test + fractions.get(VALIDATION, 0.0)
    ranges = {TEST: (0.0, test), VALIDATION: (test, held_out), TRAIN: (held_out, 1.0)}
    return {split: bounds for split, bounds in ranges.items() if split == TRAIN or split in fractions}


def _values(units: NDArray[np.void], *, seed: int) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each key."""
    return np.array([xxhash.xxh3_64_intdigest(unit.tobytes(), seed=seed) / _TWO_TO_64 for unit in units])
