"""A file that is no text is named by its kind; numbers of tables are labels by their value."""

from __future__ import annotations

import bz2
import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuneloop_trainer.data.formats.labels import class_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow, WantedColumns
from tuneloop_trainer.data.sources.sources import read_file
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.locate import FORMATS, DataFile

WANTED = WantedColumns(columns={"text": "text", "label": "label"})


def read(path: Path) -> list[RawRow]:
    file = DataFile(path=path, format=FORMATS.get(path.suffix, "arrow"), name=path.name)
    return [row for batch in read_file(file, wanted=WANTED, field="data.train[0]") for row in batch.rows]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        pytest.param("a.csv", gzip.compress(b"text,label\nx,1\n"), "is a gzip file, not text", id="gzip"),
        pytest.param("a.jsonl", gzip.compress(b'{"text": "x"}\n'), "is a gzip file, not text", id="gzip as JSON lines"),
        pytest.param("a.tsv", b"PK\x03\x04\x14\x00", "is a zip file or a spreadsheet, not text", id="zip"),
        pytest.param("a.csv", b"PAR1\x15\x04", "is a Parquet file, not text", id="Parquet"),
        pytest.param("a.csv", bz2.compress(b"text"), "is a bzip2 file, not text", id="bzip2"),
    ],
)
def test_a_file_that_is_no_text_is_named_by_its_kind(tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: {found}") as caught:
        read(tmp_path / name)
    assert caught.value.hint
    assert "UTF" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(
    ("column", "label"),
    [
        pytest.param(pa.array([0.1], pa.float32()), "0.1", id="float32"),
        pytest.param(pa.array([2.0], pa.float32()), "2", id="whole float32"),
        pytest.param(pa.array([np.float16(0.3)], pa.float16()), "0.3", id="float16"),
        pytest.param(pa.array([0.1], pa.float64()), "0.1", id="float64"),
        pytest.param(pa.array([Decimal("1.50")], pa.decimal128(5, 2)), "1.5", id="decimal"),
        pytest.param(pa.array([Decimal("3.00")], pa.decimal128(5, 2)), "3", id="whole decimal"),
        pytest.param(pa.array([Decimal("0.12345678901234567890")], pa.decimal128(22, 20)), "0.1234567890123456789", id="a decimal finer than any float"),
        pytest.param(pa.array([None], pa.decimal128(5, 2)), BadReason.MISSING_LABEL, id="no decimal"),
        pytest.param(pa.array([None], pa.float32()), BadReason.MISSING_LABEL, id="no float32"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_numbers_of_any_width_are_labels_by_their_value(tmp_path, column, label, suffix):
    table = pa.table({"text": ["x"], "label": column})
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    (row,) = read(path)
    assert class_of(row.cells[1], rule=None, known=None) == label


@pytest.mark.parametrize(
    "column",
    [pa.array([Decimal("1.50")], pa.decimal128(5, 2)), pa.array([0.1], pa.float32())],
    ids=["decimal", "float32"],
)
def test_a_number_is_no_text(tmp_path, column):
    pq.write_table(pa.table({"text": column, "label": ["x"]}), tmp_path / "a.parquet")
    (row,) = read(tmp_path / "a.parquet")
    assert not isinstance(row.cells[0], str)
