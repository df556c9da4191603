"""Reads every source once: usable rows into the table and its contents on disk, the others into counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import xxhash

from tuneloop_trainer.data.bad_rows import BadRows, refuse_too_many
from tuneloop_trainer.data.formats.row_format import LeftOut, SourceToParse, Unusable
from tuneloop_trainer.data.row_table import RowTable, TableBuilder, place_of
from tuneloop_trainer.data.sources.raw import BadReason, WantedColumns
from tuneloop_trainer.data.sources.sources import read_file
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tuneloop_api.contract.data_settings import SourceSettings
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.formats.row_format import RowFormat
    from tuneloop_trainer.data.sources.raw import RawBatch, RawRow
    from tuneloop_trainer.locate import DataFile
    from tuneloop_trainer.tasks.task import Row


@dataclass(frozen=True, kw_only=True)
class LocatedSource:
    """A source and its files."""

    field: str
    """Path in the spec, for messages: `data.train[0]`."""
    split: int
    """Split that it was given for."""
    settings: SourceSettings
    files: list[DataFile]
    feedback: dict[str, Any] | None = None
    """What became of feedback, for the data report; None for other sources."""
    objects: dict[str, Any] | None = None
    """What was fetched of object storage, for the data report; None for other sources."""


@dataclass(frozen=True, kw_only=True)
class SourceCounts:
    """What came out of one source."""

    uri: str
    split: int
    files: int
    read: int
    usable: int
    bad: int
    dropped: int
    feedback: dict[str, Any] | None = None
    """As in `LocatedSource`."""
    objects: dict[str, Any] | None = None
    """As in `LocatedSource`."""


@dataclass(frozen=True, kw_only=True)
class Collected:
    """All usable rows, and what became of the others."""

    table: RowTable
    bad: BadRows
    sources: list[SourceCounts]
    format_facts: dict[str, Any]
    """What the row format found out about the sources."""

    @property
    def dropped(self) -> int:
        """Rows left out by `labelRule.dropWithin`."""
        return sum(source.dropped for source in self.sources)


def collect(
    sources: Sequence[LocatedSource],
    *,
    row_format: RowFormat,
    settings: Settings,
    contents: Path,
    progress: Callable[[float], None],
) -> Collected:
    """Read all sources in order; the rows themselves go to the file `contents`, in the order of the table.

    Raises DataError if a file cannot be read, more rows are bad than is tolerated, or no row is left; ConfigError if the settings do not
    fit the row format.
    """
    data = settings.data
    readers = [_Reader(source, row_format=row_format, group_by=data.split.group_by) for source in sources]
    parsing = row_format.parsing([reader.to_parse() for reader in readers], settings)
    with TableBuilder(contents, row_format=row_format, grouped=data.split.group_by is not None) as table:
        collector = _Collector(table, most_samples=data.validate_rows.samples, sizes=_sizes(sources), progress=progress)
        counts = [collector.read(reader, parse) for reader, parse in zip(readers, parsing.parsers, strict=True)]
    refuse_too_many(collector.bad, rows=collector.rows_read, settings=data.validate_rows)
    finished = table.finish(collector.files)
    if len(finished.row_ids) == 0:
        raise DataError(f"there is no row to learn from: {collector.rows_read} were read, none is usable")
    return Collected(table=finished, bad=collector.bad, sources=counts, format_facts=parsing.facts)


class _Reader:
    """Reads the raw rows of one source."""

    def __init__(self, source: LocatedSource, *, row_format: RowFormat, group_by: str | None) -> None:
        self.source = source
        columns = {name: getattr(source.settings.columns, name) for name in row_format.columns}
        self._wanted = WantedColumns(columns=columns, group=group_by)
        self.grouped = group_by is not None

    def batches(self) -> Iterator[tuple[DataFile, RawBatch]]:
        """Yield the rows in order, each batch with its file; at most `limit` rows."""
        left = self.source.settings.limit
        for file in self.source.files:
            if left == 0:
                return
            for batch in read_file(file, wanted=self._wanted, field=self.source.field, limit=left):
                left = None if left is None else left - len(batch.rows)
                yield file, batch

    def to_parse(self) -> SourceToParse:
        """Return what the row format may look at."""
        return SourceToParse(
            field=self.source.field,
            settings=self.source.settings,
            rows=lambda: (row for _, batch in self.batches() for row in batch.rows),
        )


class _Collector:
    """Parses rows and puts them into the table or among the bad rows."""

    def __init__(
        self, table: TableBuilder, *, most_samples: int, sizes: dict[Path, int], progress: Callable[[float], None]
    ) -> None:
        self._table, self._sizes, self._progress = table, sizes, progress
        self.bad = BadRows(most_samples=most_samples)
        self.files: list[DataFile] = []
        self.rows_read = 0

    def read(self, reader: _Reader, parse: Callable[[RawRow], Row | Unusable | LeftOut]) -> SourceCounts:
        """Read one source. Raises DataError if it has no row."""
        source, before = reader.source, self.rows_read
        outcomes: Counter[str] = Counter()
        for file, batch in reader.batches():
            if not self.files or self.files[-1] is not file:
                self.files.append(file)
            outcomes.update(self._take(row, parse, reader=reader) for row in batch.rows)
            self._report(batch.fraction)
        if self.rows_read == before:
            names = ", ".join(file.name for file in source.files[:3])
            raise DataError(f"{source.field}: {source.settings.uri} has no rows: empty, or only a header, in {names}")
        return SourceCounts(
            uri=source.settings.uri,
            split=source.split,
            files=len(source.files),
            read=self.rows_read - before,
            usable=outcomes["usable"],
            bad=outcomes["bad"],
            dropped=outcomes["dropped"],
            feedback=source.feedback,
            objects=source.objects,
        )

    def _report(self, fraction: float) -> None:
        *earlier, current = (self._sizes[file.path] for file in self.files)
        self._progress((sum(earlier) + fraction * current) / max(1, sum(self._sizes.values())))

    def _take(
        self, raw: RawRow, parse: Callable[[RawRow], Row | Unusable | LeftOut], *, reader: _Reader
    ) -> Literal["usable", "bad", "dropped"]:
        row_id, self.rows_read = self.rows_read, self.rows_read + 1
        row = Unusable(raw.problem, raw.excerpt) if raw.problem is not None else parse(raw)
        group = _group_key(raw.group)
        if isinstance(row, dict) and reader.grouped and group is None:
            row = Unusable(BadReason.MISSING_GROUP)
        if isinstance(row, Unusable):
            self.bad.add(row, place=place_of(self.files[-1], raw.number))
            return "bad"
        if isinstance(row, LeftOut):
            return "dropped"
        self._table.add(
            row,
            group_key=group,
            source_split=reader.source.split,
            split=reader.source.split,
            row_id=row_id,
            file_id=len(self.files) - 1,
            number=raw.number,
        )
        return "usable"


def _group_key(value: object) -> bytes | None:
    if value is None or value == "":
        return None
    return xxhash.xxh3_128_digest(str(value).encode(errors="surrogatepass"))


def _sizes(sources: Sequence[LocatedSource]) -> dict[Path, int]:
    return {file.path: file.path.stat().st_size for source in sources for file in source.files}
