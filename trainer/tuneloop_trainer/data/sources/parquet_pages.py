"""Looks at the pages of a Parquet file before they are decoded, so that a small file cannot fill the memory.

The footer of a file may lie about sizes. Arrow takes memory as the header of each page says, and so the headers are read here: each begins a
page, in Thrift's compact protocol (https://parquet.apache.org/docs/file-format/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow.parquet as pq

LARGEST_PAGE = 134_217_728
"""Bytes. Writers end a page at 1 MiB; that of Arrow looks after 1024 values only, so that long texts make larger pages."""
MOST_LIST_VALUES = 16_777_216
"""Values of a column of lists in a row group: one row may hold them all, and a few bytes may stand for them."""
_ROWS_BYTES = 33_554_432
"""Bytes that the rows which are decoded at a time may have, at most, where no single row has more."""
_DELTA_BYTE_ARRAY = 7
_DEEPEST = 8
_LARGEST_NUMBER = 2**33
"""Sizes and counts have 32 bits; the sign takes a bit."""
_HINT = "write the file again with smaller pages: pandas.read_parquet(old).to_parquet(new, row_group_size=1000, write_batch_size=16)"


@dataclass(frozen=True, kw_only=True)
class _DataHeader:
    """Numbers of fields in parquet.thrift."""

    header: int
    values: int = 1
    encoding: int


_OF_DATA = {0: _DataHeader(header=5, encoding=2), 3: _DataHeader(header=8, encoding=4)}
"""Type of page → its fields; pages of other types hold no values of rows."""


@dataclass(frozen=True, kw_only=True)
class _Page:
    size: int
    """Bytes, decompressed."""
    values: int
    encoding: int | None
    """None for a page that is no data page."""


def rows_at_a_time(
    file: IO[bytes], group: pq.RowGroupMetaData, leaves: Sequence[tuple[int, pq.ColumnSchema]], *, name: str, most: int
) -> int:
    """Return how many rows of a row group may be decoded at a time, at most `most`. leaves: the columns that are read; name: of the file.

    No encoding makes a value larger than the largest page of its column. Raises DataError for a page, or a list column, that is too large,
    ValueError if a header is damaged.
    """
    row_bytes = 0
    for index, leaf in leaves:
        pages = list(_pages(file, group.column(index)))
        largest = max((page.size for page in pages), default=0)
        if largest > LARGEST_PAGE:
            raise DataError(
                f"{name}: a page of the column {leaf.path!r} has {largest:,} bytes; at most {LARGEST_PAGE:,} are decoded",
                hint=_HINT,
            )
        if leaf.max_repetition_level > 0:
            _refuse_large_lists(pages, path=leaf.path, name=name)
        row_bytes += largest
    return max(1, min(most, _ROWS_BYTES // max(1, row_bytes)))


def _refuse_large_lists(pages: Sequence[_Page], *, path: str, name: str) -> None:
    values = sum(page.values for page in pages if page.encoding is not None)
    if values > MOST_LIST_VALUES:
        raise DataError(
            f"{name}: the lists of the column {path!r} have {values:,} values in a row group; at most {MOST_LIST_VALUES:,} are decoded",
            hint=_HINT,
        )
    if any(page.encoding == _DELTA_BYTE_ARRAY for page in pages):
        raise DataError(f"{name}: the lists of the column {path!r} are encoded as DELTA_BYTE_ARRAY", hint=_HINT)


def _pages(file: IO[bytes], chunk: pq.ColumnChunkMetaData) -> Iterator[_Page]:
    """Yield the pages that Arrow decodes: until as many values were seen as the chunk has."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    file.seek(start)
    left = chunk.num_values
    while left > 0:
        header = _struct(file)
        packed, size, of_data = _size(header, 3), _size(header, 2), _OF_DATA.get(_size(header, 1))
        data = None if of_data is None else header.get(of_data.header)
        values = 0 if of_data is None else _size(data, of_data.values)
        encoding = None if of_data is None else _size(data, of_data.encoding)
        yield _Page(size=max(size, packed), values=values, encoding=encoding)
        left -= values
        file.seek(packed, 1)


def _size(fields: Any, number: int) -> int:
    value = fields.get(number) if isinstance(fields, dict) else None
    if not isinstance(value, int) or value < 0:
        raise ValueError("the header of a page is damaged")
    return value


def _struct(file: IO[bytes], *, depth: int = 0) -> dict[int, Any]:
    """Return the numbers of a struct by field; texts are skipped."""
    fields: dict[int, Any] = {}
    number = 0
    if depth > _DEEPEST:
        raise ValueError("the header of a page is damaged")
    while (byte := _byte(file)) != 0:
        number = number + (byte >> 4) if byte >> 4 else _signed(file)
        fields[number] = _value(file, byte & 15, depth=depth)
    return fields


def _value(file: IO[bytes], kind: int, *, depth: int) -> Any:
    match kind:
        case 1 | 2:
            return kind == 1
        case 3:
            return _byte(file)
        case 4 | 5 | 6:
            return _signed(file)
        case 7:
            file.seek(8, 1)
        case 8:
            file.seek(_unsigned(file), 1)
        case 12:
            return _struct(file, depth=depth + 1)
        case _:  # a page's header has no list, set or map
            raise ValueError("the header of a page is damaged")
    return None


def _signed(file: IO[bytes]) -> int:
    value = _unsigned(file)
    return (value >> 1) ^ -(value & 1)


def _unsigned(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = _byte(file)
        value |= (byte & 127) << shift
        if byte < 128 and value < _LARGEST_NUMBER:
            return value
    raise ValueError("the header of a page is damaged")


def _byte(file: IO[bytes]) -> int:
    found = file.read(1)
    if not found:
        raise ValueError("the file ends within a page")
    return found[0]
