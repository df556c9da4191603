"""Reads the rows of a file of any kind, with bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.data.sources.raw import RawBatch, WantedColumns
from tuneloop_trainer.data.sources.read_conll import read_conll
from tuneloop_trainer.data.sources.read_delimited import read_delimited
from tuneloop_trainer.data.sources.read_lines import read_json_lines
from tuneloop_trainer.data.sources.read_squad import read_squad
from tuneloop_trainer.data.sources.read_tables import read_arrow, read_parquet
from tuneloop_trainer.data.sources.read_text import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_trainer.locate import DataFile

_READERS = {
    "csv": read_delimited,
    "tsv": read_delimited,
    "jsonl": read_json_lines,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "conll": read_conll,
    "txt": read_text,
    "squad": read_squad,
}


def read_file(file: DataFile, *, wanted: WantedColumns, field: str, limit: int | None = None) -> Iterator[RawBatch]:
    """Read a file batch by batch, at most `limit` rows. `field` is the source's path in the spec, for messages.

    Raises DataError naming the file and, where it is known, the line.
    """
    left = limit
    for batch in _READERS[file.format](file, wanted=wanted, field=field):
        if left is not None and len(batch.rows) >= left:
            yield RawBatch(batch.rows[:left], 1.0)
            return
        yield batch
        left = None if left is None else left - len(batch.rows)
