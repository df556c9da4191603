"""The headers of pages are read as every writer leaves them, and damaged headers are an error with a sentence."""

from __future__ import annotations

import contextlib
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.data.sources.parquet_pages import _struct, rows_at_a_time
from tuneloop_trainer.data.sources.raw import WantedColumns
from tuneloop_trainer.data.sources.sources import read_file
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.locate import DataFile

ROWS = [(["a", "b" * index], ["O"] * 2) for index in range(300)]
TABLE = pa.table({"id": range(300), "tokens": [tokens for tokens, _ in ROWS], "tags": [tags for _, tags in ROWS]})
WANTED = WantedColumns(columns={"tokens": "tokens", "tags": "tags"})


def file_at(path) -> DataFile:
    return DataFile(path=path, format="parquet", name=path.name)


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize(
    "options", [{}, {"use_dictionary": False}, {"write_statistics": False}, {"data_page_size": 64}]
)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_rows_come_back_however_the_file_is_written(tmp_path, compression, options, version) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(TABLE, path, compression=compression, row_group_size=128, data_page_version=version, **options)
    read = [row.cells for batch in read_file(file_at(path), wanted=WANTED, field="f") for row in batch.rows]
    assert read == ROWS


@pytest.mark.parametrize(("length", "rows"), [(10, 512), (2**20, 31), pytest.param(2**26, 1, marks=pytest.mark.full)])
def test_fewer_rows_are_decoded_at_a_time_the_larger_their_page_is(tmp_path, length, rows) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["x" * length]}), path, use_dictionary=False)
    metadata = pq.read_metadata(path)
    with path.open("rb") as file:
        leaves = [(0, metadata.schema.column(0))]
        assert rows_at_a_time(file, metadata.row_group(0), leaves, name="f", most=512) == rows


def test_lists_whose_values_share_beginnings_are_refused(tmp_path) -> None:
    path = tmp_path / "rows.parquet"
    encoding = {"tokens.list.element": "DELTA_BYTE_ARRAY"}
    pq.write_table(TABLE, path, use_dictionary=False, column_encoding=encoding)
    with pytest.raises(
        DataError, match=r"the lists of the column 'tokens\.list\.element' are encoded as DELTA_BYTE_ARRAY"
    ):
        list(read_file(file_at(path), wanted=WANTED, field="f"))


def test_a_damaged_header_is_named_with_its_file(tmp_path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(TABLE, path, compression="none")
    content = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(1).dictionary_page_offset
    content[start : start + 2] = b"\x1b\x1b"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"rows\.parquet: is damaged, or no parquet file: the header of a page is damaged"
    ):
        list(read_file(file_at(path), wanted=WANTED, field="f"))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_header_or_an_error(content) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(_struct(io.BytesIO(content)), dict)
