"""The step `split`: rows of the training sources go to the splits that have no source of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.data.hash_split import by_hash, with_every_class
from tuneloop_trainer.data.row_table import TEST, TRAIN, VALIDATION
from tuneloop_trainer.data.steps.step import DataStep, StepContext, StepResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_api.contract.data_settings import DataSettings, SplitSettings
    from tuneloop_trainer.data.row_table import RowTable


def run(table: RowTable, context: StepContext) -> StepResult:
    """Divide the training rows; the rows of a given split stay where they are."""
    data = context.settings.data
    fractions = _fractions(data)
    if not fractions:
        return StepResult(table=table, facts={"moved": 0})
    rows = table.indexes(TRAIN)
    keys = table.text_keys if table.group_keys is None else table.group_keys
    stratify = data.split.group_by is None if data.split.stratify is None else data.split.stratify
    strata = table.label_set_ids if stratify and table.row_format.one_label else np.zeros_like(table.label_set_ids)
    divided = divide(keys=keys[rows], strata=strata[rows], fractions=fractions, settings=data.split)
    spread = divided
    if data.split.method == "hash":
        spread = with_every_class(
            divided, keys=keys[rows], strata=strata[rows], fractions=fractions, seed=data.split.seed
        )
    splits = table.splits.copy()
    splits[rows] = spread
    facts = {"moved": int((splits != table.splits).sum()), "forClasses": int((spread != divided).sum())}
    return StepResult(table=replace(table, splits=splits), facts=facts)


def _fractions(data: DataSettings) -> dict[int, float]:
    """Return the part of the training rows that goes to each split without a source of its own."""
    given = {VALIDATION: data.validation, TEST: data.test}
    asked = {VALIDATION: data.split.validation, TEST: data.split.test}
    return {split: asked[split] for split, sources in given.items() if sources is None}


def divide(
    *, keys: NDArray[np.void], strata: NDArray[np.int32], fractions: dict[int, float], settings: SplitSettings
) -> NDArray[np.int8]:
    """Return the split of each row. int8 [N].

    keys: V16 [N]; rows with equal keys (the same text, or the same group) go to the same split. strata: int32 [N]; `method: random` keeps
    the shares of each stratum. fractions: part of the rows that each split gets; all other rows stay in train.
    """
    units, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    if settings.method == "hash":
        splits = by_hash(units, fractions=fractions, seed=settings.seed)
    else:
        sizes = np.bincount(inverse, minlength=len(units))
        order = np.argsort(first, kind="stable")  # reading order: the result must not depend on the hashes' order
        shuffled = order[np.random.default_rng(settings.seed).permutation(len(units))]
        splits = _by_share(shuffled, sizes=sizes, strata=strata[first], fractions=fractions)
    return splits[inverse]


def _by_share(
    shuffled: NDArray[np.int64], *, sizes: NDArray[np.int64], strata: NDArray[np.int32], fractions: dict[int, float]
) -> NDArray[np.int8]:
    """Fill test, then validation, stratum by stratum in shuffled order, until each split has its share of the stratum's rows.

    A unit is all rows with one key. Each split gets at least one unit of a stratum that has enough units.
    """
    splits = np.full(len(sizes), TRAIN, dtype=np.int8)
    for stratum in np.unique(strata):
        units = shuffled[strata[shuffled] == stratum]
        before = np.cumsum(sizes[units]) - sizes[units] / 2  # a unit belongs where its middle row lies
        rows = sizes[units].sum()
        start = 0.0
        begin = 0
        for split in sorted(fractions, reverse=True):
            start += fractions[split] * rows
            end = max(int(np.searchsorted(before, start)), begin + 1 if len(units) > len(fractions) else begin)
            splits[units[begin:end]] = split
            begin = end
    return splits


STEP = DataStep(name="split", version=1, settings=lambda settings: settings.data.split.non_defaults(), run=run)
