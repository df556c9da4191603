"""The rows that both models predict: the test split (golden), and a recent window that nobody was trained on."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.data_settings import RECENT_WINDOW
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.uris import feedback_deployment
from tuneloop_trainer.data.choose_format import choose_format
from tuneloop_trainer.data.collect import collect
from tuneloop_trainer.data.locate_source import located, snapshots_of
from tuneloop_trainer.data.row_table import TEST
from tuneloop_trainer.data.steps.exact_duplicates import equal_ids
from tuneloop_trainer.data.text_key import text_key
from tuneloop_trainer.dataset.shards import GROUPS, open_split, read_rows
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.data.collect import LocatedSource
    from tuneloop_trainer.data.formats.row_format import RowFormat
    from tuneloop_trainer.data.row_table import RowTable
    from tuneloop_trainer.tasks.task import Row

GOLDEN, RECENT = "golden", "recent"
_LEARNED_FROM = ("train", "validation")
"""The validation split chose the checkpoint."""


@dataclass(frozen=True, kw_only=True)
class RowSet:
    """Labelled rows, N of them."""

    name: str
    rows: list[Row]
    groups: NDArray[np.int64] | None
    """[N] the group of each row by `data.split.groupBy`; None: rows do not belong together."""
    left_out: int

    @property
    def digest(self) -> str:
        """`sha256:…` over the rows in order."""
        return f"sha256:{digest_of(self.rows)}"


def golden_rows(dataset: Path) -> RowSet:
    """Return the test split of a prepared data set: its rows stand in no other split."""
    return RowSet(
        name=GOLDEN,
        rows=[row for _, row in read_rows(dataset, "test")],
        groups=open_split(dataset, "test").row_columns.get(GROUPS),
        left_out=0,
    )


def recent_sources(config: RunConfig, *, snapshots: Path, is_awaited: bool = False) -> list[LocatedSource]:
    """Return the sources of `evaluation.compareWith.recent` with their files; none if the field is not set. snapshots, is_awaited: as in `located`.

    Feedback gives its test side: no job trains on it, nor chooses a checkpoint by it, whatever its cutoff. Raises ConfigError or DataError.
    """
    beside = config.settings.evaluation.compare_with
    return [
        located(
            changed(source, window=source.window or RECENT_WINDOW) if feedback_deployment(source.uri) else source,
            split=TEST,
            field=f"evaluation.compareWith.recent[{index}]",
            config=config,
            snapshots=snapshots,
            is_awaited=is_awaited,
        )
        for index, source in enumerate((beside.recent if beside else None) or ())
    ]


def recent_rows(config: RunConfig, dataset: Path, *, labels: Sequence[str]) -> RowSet | None:
    """Return the rows of `evaluation.compareWith.recent` whose texts stand in neither training nor validation, each text once; None: the field is not set.

    Raises DataError or ConfigError as `prepare` does for the other sources: what is wrong, and where; DataError if no row is left.
    """
    sources = recent_sources(config, snapshots=snapshots_of(config))
    if not sources:
        return None
    named = list(labels) or None  # of a task without classes a job must name none
    settings = changed(config.settings, model=changed(config.settings.model, labels=named))
    row_format = choose_format(settings, task=task_of(settings))
    with tempfile.TemporaryDirectory(prefix="tuneloop-recent-") as folder:
        contents = Path(folder) / "rows.arrow"
        table = collect(
            sources, row_format=row_format, settings=settings, contents=contents, progress=lambda _done: None
        ).table
        return _not_learned_from(table, _learned_from(dataset, row_format))


def _not_learned_from(table: RowTable, learned: set[bytes]) -> RowSet:
    texts = equal_ids(table.text_keys)
    is_first = np.zeros(len(texts), dtype=np.bool_)
    is_first[np.unique(texts, return_index=True)[1]] = True
    is_new = np.array([key.tobytes() not in learned for key in table.text_keys])
    kept = np.flatnonzero(is_first & is_new)
    if not len(kept):
        raise DataError(
            f"evaluation.compareWith.recent: all {len(texts)} rows have texts that stand among the rows of training or validation",
            hint="give rows that are newer than those of data.train",
        )
    wanted = set(kept.tolist())
    rows = (row for batch in table.read() for row in batch)
    return RowSet(
        name=RECENT,
        rows=[row for index, row in enumerate(rows) if index in wanted],
        groups=None if table.group_keys is None else equal_ids(table.group_keys)[kept],
        left_out=len(texts) - len(kept),
    )


def _learned_from(dataset: Path, row_format: RowFormat) -> set[bytes]:
    """Return the keys of all texts that the job's model has learned from."""
    return {text_key(*row_format.texts(row)) for split in _LEARNED_FROM for _, row in read_rows(dataset, split)}
