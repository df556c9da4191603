"""Every format gives the same rows; what cannot be read is named with file and line."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_api.contract.data_settings import SourceSettings
from tuneloop_trainer.data.sources.raw import BATCH_ROWS, BadReason, RawRow, WantedColumns
from tuneloop_trainer.data.sources.sources import read_file
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.locate import FORMATS, DataFile, files_of

WANTED = WantedColumns(columns={"text": "text", "label": "label"})
CELL = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)


def read(path: Path, *, wanted: WantedColumns = WANTED, limit: int | None = None) -> list[RawRow]:
    file = DataFile(path=path, format=FORMATS.get(path.suffix, "arrow"), name=path.name)
    return [row for batch in read_file(file, wanted=wanted, field="data.train[0]", limit=limit) for row in batch.rows]


def cells(path: Path, **options) -> list[tuple[object, object]]:
    return [row.cells for row in read(path, **options)]


def located(path: Path, **settings) -> list[DataFile]:
    return files_of(SourceSettings(uri=f"file://{path}", **settings), claims={}, field="data.train[0]")


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL.filter(bool)), min_size=1, max_size=5))
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_quotes_commas_and_line_breaks_in_cells_survive(tmp_path_factory, suffix, rows):
    path = tmp_path_factory.mktemp("d") / f"rows{suffix}"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", quoting=csv.QUOTE_ALL)
        writer.writerows([("text", "label"), *rows])
    assert cells(path) == rows


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_json_lines_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("d") / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"text": t, "label": s}, ensure_ascii=False) + "\n" for t, s in rows), encoding="utf-8"
    )
    assert cells(path) == rows


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"])
def test_every_format_gives_the_same_rows_and_honours_the_limit(tmp_path, suffix):
    rows = [(f"text {index}", "a" if index % 2 else "b") for index in range(BATCH_ROWS + 5)]
    path = tmp_path / f"rows{suffix}"
    write(path, rows)
    assert cells(path) == rows
    assert cells(path, limit=3) == rows[:3]
    assert cells(path, limit=BATCH_ROWS + 1) == rows[: BATCH_ROWS + 1]


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(
            pa.table({"other": [1] * len(rows), "text": [t for t, _ in rows], "label": [s for _, s in rows]}), path
        )
    elif path.suffix == ".arrow":
        table = pa.table({"text": [t for t, _ in rows], "label": [s for _, s in rows]})
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table, max_chunksize=1000)
    elif path.suffix in {".csv", ".tsv"}:
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([("text", "label"), *rows])
    else:
        path.write_text("".join(json.dumps({"text": t, "label": s}) + "\n" for t, s in rows))


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,label\r\nx,1\r\n")
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "x", "label": "1"}\n')
    assert cells(tmp_path / "a.csv") == cells(tmp_path / "a.jsonl") == [("x", "1")]


def test_empty_lines_are_skipped_and_lines_keep_their_numbers(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n\n"two\nlines",1\n\nlast,2\n')
    (tmp_path / "a.jsonl").write_text('\n{"text": "x", "label": "1"}\n\n{"text": "y", "label": "2"}\n')
    assert [(row.number, row.cells[1]) for row in read(tmp_path / "a.csv")] == [(3, "1"), (6, "2")]
    assert [(row.number, row.cells[1]) for row in read(tmp_path / "a.jsonl")] == [(2, "1"), (4, "2")]


def test_odd_column_names_are_found_in_any_unicode_form(tmp_path):
    wanted = WantedColumns(columns={"text": "Überschrift der Mail", "label": "label "}, group="G")
    (tmp_path / "a.csv").write_text("G,label ,U\u0308berschrift der Mail\n7,1,x\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"U\\u0308berschrift der Mail": "x", "label ": "1", "G": "7"}\n')
    for path in tmp_path.iterdir():
        assert [(row.cells, row.group) for row in read(path, wanted=wanted)] == [(("x", "1"), "7")]


def test_a_missing_column_names_the_nearest_and_those_that_are_there(tmp_path):
    write_cases = {".csv": "id,Text,label\n1,x,y\n", ".jsonl": '{"id": 1, "Text": "x", "label": "y"}\n'}
    for suffix, content in write_cases.items():
        path = tmp_path / f"a{suffix}"
        path.write_text(content)
        with pytest.raises(DataError, match=r"no column 'text'; there are 'id', 'Text', 'label'") as caught:
            read(path)
        assert "did you mean 'Text'?" in caught.value.hint
        assert "data.train[0].columns" in caught.value.hint


def test_a_wanted_column_must_not_stand_twice_but_others_may(tmp_path):
    (tmp_path / "a.csv").write_text("x,x,text,label\n1,2,a,b\n")
    assert cells(tmp_path / "a.csv") == [("a", "b")]
    (tmp_path / "b.csv").write_text("text,text,label\n1,2,b\n")
    with pytest.raises(DataError, match="'text' stands 2 times"):
        read(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("name", "content", "line", "byte"),
    [
        pytest.param("a.csv", "text,label\nna\u00efve,1\n".encode("latin-1"), 2, 13, id="csv in latin-1"),
        pytest.param("a.jsonl", b'{"text": "x", "label": "1"}\n{"text": "\xe9"}\n', 2, 38, id="json in latin-1"),
        pytest.param("a.csv", "text,label\nx,1\n".encode("utf-16"), 1, 0, id="csv in utf-16"),
        pytest.param(
            "a.tsv",
            b"text\tlabel\n" + b"x\t1\n" * 50_000 + b"\x80\t1\n",
            50_002,
            200_011,
            id="far behind the first buffer",
        ),
    ],
)
def test_a_wrong_encoding_is_named_by_line_and_byte(tmp_path, name, content, line, byte):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: line {line}, byte {byte} .* is not UTF-8") as caught:
        read(tmp_path / name)
    assert "iconv" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "reason", "number"),
    [
        pytest.param("a.csv", "text,label\nx,1\ny\nz,3\n", BadReason.WRONG_CELLS, 3, id="too few cells"),
        pytest.param("a.csv", "text,label\nx,1\ny,2,3\nz,3\n", BadReason.WRONG_CELLS, 3, id="too many cells"),
        pytest.param("a.csv", 'text,label\nx,1\n"y" and,2\nz,3\n', BadReason.MALFORMED_CSV, 3, id="text behind a quote"),
        pytest.param("a.jsonl", '{"text": "x", "label": "1"}\n{"text": \n{"text": "z", "label": "3"}\n', BadReason.MALFORMED_JSON, 2, id="half an object"),
        pytest.param("a.jsonl", '{"text": "x", "label": "1"}\n7\n{"text": "z", "label": "3"}\n', BadReason.MALFORMED_JSON, 2, id="no object"),
    ],
)  # fmt: skip
def test_a_malformed_row_is_marked_and_the_next_one_is_read(tmp_path, name, content, reason, number):
    (tmp_path / name).write_text(content)
    first, bad, last = read(tmp_path / name)
    assert (bad.problem, bad.number) == (reason, number)
    assert str(bad.excerpt)
    assert (first.cells[0], last.cells[0]) == ("x", "z")


def test_a_quote_that_is_never_closed_is_named_by_its_row(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\nx,1\n"y,2\n' + "z,3\n" * 1000)
    rows = read(tmp_path / "a.csv")
    assert [(row.number, row.problem) for row in rows if row.problem] == [(3, BadReason.OPEN_QUOTE)]
    assert (len(rows), str(rows[1].excerpt)) == (1002, 'the quote is never closed: "y,2')


def test_a_very_long_cell_is_read(tmp_path):
    (tmp_path / "a.csv").write_text(f"text,label\n{'long ' * 100_000},1\n")
    assert len(cells(tmp_path / "a.csv")[0][0]) == 500_000


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_an_empty_file_has_no_columns(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match="the file is empty"):
        read(tmp_path / name)


def test_a_json_array_is_refused_with_the_way_to_convert_it(tmp_path):
    (tmp_path / "a.json").write_text('[{"text": "x", "label": "1"}]')
    with pytest.raises(DataError, match="JSON array") as caught:
        read(tmp_path / "a.json")
    assert "jq -c" in caught.value.hint


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("text,label\n")
    with pytest.raises(DataError, match=r"a.parquet: is damaged, or no parquet file"):
        read(tmp_path / "a.parquet")


ROWS = [(f"text {index}", "ab"[index % 2]) for index in range(3000)]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_rows_of_a_table_are_numbered_from_one_over_all_its_batches(tmp_path, suffix):
    write(tmp_path / f"rows{suffix}", ROWS)
    assert [row.number for row in read(tmp_path / f"rows{suffix}")] == list(range(1, len(ROWS) + 1))


@settings(max_examples=60, deadline=None)
@given(part=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".jsonl"])
def test_a_file_that_was_cut_off_is_refused_or_gives_no_row_that_was_not_there(tmp_path_factory, suffix, part):
    path = tmp_path_factory.mktemp("d") / f"rows{suffix}"
    write(path, ROWS)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    try:
        found = [row.cells for row in read(path) if row.problem is None]
    except DataError:
        return
    assert suffix != ".parquet", "a Parquet file ends with the list of its parts"
    assert found == ROWS[: len(found)]


def test_saved_data_sets_are_read_with_the_names_of_their_classes(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    train = datasets.Dataset.from_dict({"text": ["x", "y", "z", "n"], "label": [0, 1, -1, None]}, features=features)
    datasets.DatasetDict({"train": train, "test": train.select([1])}).save_to_disk(str(tmp_path / "dict"))
    train.save_to_disk(str(tmp_path / "single"))
    train.to_parquet(str(tmp_path / "a.parquet"))
    expected = [("x", "bad"), ("y", "good"), ("z", None), ("n", None)]
    assert [pair for file in located(tmp_path / "dict") for pair in cells(file.path)] == expected
    assert [pair for file in located(tmp_path / "dict", split="test") for pair in cells(file.path)] == [("y", "good")]
    assert [pair for file in located(tmp_path / "single") for pair in cells(file.path)] == expected
    assert cells(tmp_path / "a.parquet") == expected
    with pytest.raises(DataError, match="no split 'dev'; it has train, test"):
        located(tmp_path / "dict", split="dev")


def test_every_file_of_a_saved_data_set_is_read_in_order(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [(f"text {index}", f"c{index % 3}") for index in range(90)]
    saved = datasets.Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    saved.save_to_disk(str(tmp_path / "saved"), num_shards=3)
    files = located(tmp_path / "saved")
    assert len(files) == 3
    assert [pair for file in files for pair in cells(file.path)] == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("rows.csv", b"text;label\na;b\n", "separated by ';'", id="semicolons"),
        pytest.param("rows.csv", b"text\tlabel\na\tb\n", "separated by", id="tabs in a .csv"),
        pytest.param("rows.tsv", b"text,label\na,b\n", "separated by ','", id="commas in a .tsv"),
        pytest.param("rows.csv", "text,label\na,b\n".encode("utf-16-le"), "UTF-16LE", id="UTF-16 without a mark"),
        pytest.param("rows.json", b'\n[{"text": "a", "label": "b"}]', "one object a line|jq", id="an array behind a blank line"),
    ],
)  # fmt: skip
def test_for_a_file_of_another_format_the_error_says_how_to_convert_it(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refused:
        read(tmp_path / name)
    assert re.search(message, refused.value.hint)
