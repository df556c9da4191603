"""Reads every source once: usable rows into the table and the spool, the others into counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import xxhash

from tuneloop_trainer.data.formats.rows import BadRows, LeftOut, RowRules, refuse_too_many, usable
from tuneloop_trainer.data.formats.table import RowTable, TableBuilder, place_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow, WantedColumns
from tuneloop_trainer.data.sources.sources import read_file
from tuneloop_trainer.data.sources.spool import TextSpool
from tuneloop_trainer.data.steps.deduplicate import text_key
from tuneloop_trainer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tuneloop_api.contract.run_config import DataSettings, SourceSettings
    from tuneloop_trainer.locate import DataFile


@dataclass(frozen=True, kw_only=True)
class LocatedSource:
    """A source and its files."""

    field: str
    """Path in the spec, for messages: `data.train[0]`."""
    pool: int
    """Split that it was given for."""
    settings: SourceSettings
    files: list[DataFile]


@dataclass(frozen=True, kw_only=True)
class SourceCounts:
    """What came out of one source."""

    uri: str
    pool: int
    files: int
    read: int
    usable: int
    bad: int
    dropped: int


@dataclass(frozen=True, kw_only=True)
class Collected:
    """All usable rows, and what became of the others."""

    table: RowTable
    bad: BadRows
    sources: list[SourceCounts]

    @property
    def dropped(self) -> int:
        """Rows left out by `labelRule.dropWithin`."""
        return sum(source.dropped for source in self.sources)


def collect(
    sources: Sequence[LocatedSource],
    *,
    data: DataSettings,
    labels: Sequence[str] | None,
    spool: Path,
    progress: Callable[[float], None],
) -> Collected:
    """Read all sources in order; the texts of usable rows go to the file `spool`, in the order of the table.

    Raises DataError if a file cannot be read, more rows are bad than is tolerated, or no row is left; ConfigError if a `labelRule` makes
    classes that `labels` does not have.
    """
    known = None if labels is None else frozenset(labels)
    with TextSpool(spool) as texts:
        collector = _Collector(data=data, known=known, texts=texts, sizes=_sizes(sources), progress=progress)
        counts = [collector.read(source) for source in sources]
    refuse_too_many(collector.bad, rows=collector.rows_read, settings=data.validate_rows)
    table = collector.table.finish(collector.files)
    if len(table.rows) == 0:
        raise DataError(f"there is no row to learn from: {collector.rows_read} were read, none is usable")
    return Collected(table=table, bad=collector.bad, sources=counts)


class _Collector:
    def __init__(
        self,
        *,
        data: DataSettings,
        known: frozenset[str] | None,
        texts: TextSpool,
        sizes: dict[Path, int],
        progress: Callable[[float], None],
    ) -> None:
        self._group_by, self._known, self._texts = data.split.group_by, known, texts
        self._sizes, self._progress = sizes, progress
        self._total, self._done = max(1, sum(sizes.values())), 0
        self.bad = BadRows(most_samples=data.validate_rows.samples)
        self.table = TableBuilder(grouped=self._group_by is not None)
        self.files: list[DataFile] = []
        self.rows_read = 0

    def read(self, source: LocatedSource) -> SourceCounts:
        """Read one source, at most `limit` rows of it."""
        self._refuse_other_classes(source)
        before = self.rows_read
        outcomes: Counter[str] = Counter()
        for file in source.files:
            left = None if source.settings.limit is None else source.settings.limit - (self.rows_read - before)
            if left == 0:
                break
            self._read_file(file, source=source, limit=left, outcomes=outcomes)
        if self.rows_read == before:
            names = ", ".join(file.name for file in source.files[:3])
            raise DataError(f"{source.field}: {source.settings.uri} has no rows: empty, or only a header, in {names}")
        return SourceCounts(
            uri=source.settings.uri,
            pool=source.pool,
            files=len(source.files),
            read=self.rows_read - before,
            usable=outcomes["usable"],
            bad=outcomes["bad"],
            dropped=outcomes["dropped"],
        )

    def _refuse_other_classes(self, source: LocatedSource) -> None:
        rule = source.settings.label_rule
        if rule is None or self._known is None or self._known.issuperset(rule.names):
            return
        raise ConfigError(
            f"{source.field}.labelRule.names: {', '.join(rule.names)} are not all in model.labels",
            hint=f"model.labels has {', '.join(sorted(self._known)[:20])}; give the same names in both",
        )

    def _read_file(self, file: DataFile, *, source: LocatedSource, limit: int | None, outcomes: Counter[str]) -> None:
        columns = source.settings.columns
        wanted = WantedColumns(text=columns.text, label=columns.label, group=self._group_by)
        rules = RowRules(label_rule=source.settings.label_rule, known=self._known, grouped=self._group_by is not None)
        self.files.append(file)
        for batch in read_file(file, wanted=wanted, field=source.field, limit=limit):
            outcomes.update(self._take(row, file=file, pool=source.pool, rules=rules) for row in batch.rows)
            self._progress((self._done + batch.fraction * self._sizes[file.path]) / self._total)
        self._done += self._sizes[file.path]

    def _take(self, raw: RawRow, *, file: DataFile, pool: int, rules: RowRules) -> str:
        row_id, self.rows_read = self.rows_read, self.rows_read + 1
        row = usable(raw, rules)
        if isinstance(row, BadReason):
            self.bad.add(raw, row, place=place_of(file, raw.number))
            return "bad"
        if isinstance(row, LeftOut):
            return "dropped"
        self._texts.add(row.text)
        self.table.add(
            text_key=text_key(row.text),
            group_key=None if row.group is None else xxhash.xxh3_128_digest(row.group.encode(errors="surrogatepass")),
            label=row.label,
            pool=pool,
            row=row_id,
            file_id=len(self.files) - 1,
            number=raw.number,
        )
        return "usable"


def _sizes(sources: Sequence[LocatedSource]) -> dict[Path, int]:
    return {file.path: file.path.stat().st_size for source in sources for file in source.files}
