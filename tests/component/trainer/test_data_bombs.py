"""A small file, or a line without an end, does not fill the memory of `prepare`: it is a bad row, or is refused with a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MIB = 2**20
ROWS = 400
"""Of a MiB each: twice as much as the memory may grow."""
READ_EACH = """
import json, os, resource, sys
from pathlib import Path
from tuneloop_trainer.data.sources.raw import WantedColumns
from tuneloop_trainer.data.sources.sources import read_file
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.locate import FORMATS, DataFile

def read(path):
    names = ("tokens", "tags") if "tokens" in path.name else ("text", "label")
    file = DataFile(path=path, format=FORMATS.get(path.suffix, "arrow"), name=path.name)
    rows, problems = 0, {}
    try:
        for batch in read_file(file, wanted=WantedColumns(columns={name: name for name in names}), field="data.train[0]"):
            rows += len(batch.rows)
            for row in batch.rows:
                if row.problem:
                    problems[row.problem.name] = problems.get(row.problem.name, 0) + 1
    except DataError as error:
        problems = str(error)
    return {"rows": rows, "problems": problems}

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

for path in map(Path, sys.argv[1:]):
    if (child := os.fork()) == 0:
        before = peak()
        found = read(path)
        print(json.dumps({"file": path.name, "grown": (peak() - before) / 1024, **found}), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def repeated(text: str, count: int) -> pa.Array:
    """The same text any number of times, as a dictionary holds it."""
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), [text])


def one_row(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def parquet(path: Path, column: pa.Array, *, tokens: bool = False, **options: Any) -> None:
    names = ["tokens", "tags"] if tokens else ["text", "label"]
    other = [["O"]] if tokens else ["a"] * len(column)
    pq.write_table(pa.table([column, pa.array(other)], names=names), path, compression="zstd", **options)


def arrow(path: Path, column: pa.Array, *, tokens: bool = False, **options: Any) -> None:
    names = ["tokens", "tags"] if tokens else ["text", "label"]
    table = pa.table([column, pa.array([["O"]] if tokens else ["a"] * len(column))], names=names)
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(table)


def endless(path: Path, beginning: bytes, end: bytes = b"") -> None:
    """A line of 256 MiB that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(beginning)
        file.seek(256 * MIB)
        file.write(end or b"x")


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What became of each file, by its name: rows, problems, and by how many MiB the memory grew."""
    folder = tmp_path_factory.mktemp("bombs")
    wide = repeated("x" * MIB, ROWS)
    parquet(folder / "dictionary.parquet", wide)
    parquet(folder / "page.parquet", pa.array(["x" * (129 * MIB)]), use_dictionary=False)
    delta = {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "use_dictionary": False}
    parquet(folder / "delta.parquet", pa.array(["x" * MIB] * 250), **delta)
    parquet(folder / "tokens-dictionary.parquet", one_row(repeated("x" * MIB, ROWS)), tokens=True)
    parquet(folder / "tokens-long.parquet", one_row(repeated("x", 17 * MIB)), tokens=True)
    arrow(folder / "dictionary.arrow", wide)
    arrow(folder / "compressed.arrow", pa.array(["x" * (64 * MIB)] * 4), compression="zstd")
    arrow(folder / "tokens-nulls.arrow", one_row(pa.nulls(100_000_000)), tokens=True)
    endless(folder / "line.jsonl", b'{"text": "')
    endless(folder / "cell.csv", b"text,label\n")
    endless(folder / "quote.csv", b'text,label\n"')
    endless(folder / "header.csv", b"text,label")
    endless(folder / "tokens.conll", b"a O\n")
    endless(folder / "latin.jsonl", b'{"text": "', end=b"\xff")
    (folder / "sentence-tokens.conll").write_bytes(b"a O\n" * 1_500_000)
    files = sorted(folder.iterdir())
    assert sum((folder / f"{name}.parquet").stat().st_size for name in ("dictionary", "delta")) < 3000
    done = subprocess.run([sys.executable, "-c", READ_EACH, *files], capture_output=True, text=True, check=True)
    found = map(json.loads, done.stdout.splitlines())
    return {entry.pop("file"): entry for entry in found}


@pytest.mark.parametrize(
    ("name", "rows", "problems"),
    [
        ("dictionary.parquet", ROWS, {}),
        ("delta.parquet", 250, {}),
        ("tokens-dictionary.parquet", 1, {"TOO_LONG": 1}),
        ("dictionary.arrow", ROWS, {}),
        ("tokens-nulls.arrow", 1, {"TOO_LONG": 1}),
        ("line.jsonl", 1, {"TOO_LONG": 1}),
        ("cell.csv", 1, {"TOO_LONG": 1}),
        ("quote.csv", 1, {"TOO_LONG": 1}),
        ("tokens.conll", 1, {"TOO_LONG": 1}),
        ("sentence-tokens.conll", 1, {"TOO_LONG": 1}),
    ],
)
def test_a_giant_row_is_a_bad_row_and_a_bomb_is_read_in_parts(read, name, rows, problems) -> None:
    assert (read[name]["rows"], read[name]["problems"]) == (rows, problems)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "page.parquet",
            "page.parquet: a page of the column 'text' has 135,266,314 bytes; at most 134,217,728 are decoded",
        ),
        ("tokens-long.parquet", "the lists of the column 'tokens.list.element' have 17,825,792 values in a row group"),
        ("compressed.arrow", "compressed.arrow: has compressed batches"),
        ("header.csv", "header.csv: line 1: the column names cannot be read: row has more than 4,194,304 characters"),
        ("latin.jsonl", "latin.jsonl: line 1, byte 268435456 (0xff) is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_in_parts_is_refused(read, name, message) -> None:
    assert message in read[name]["problems"]


def test_no_file_takes_much_memory(read) -> None:
    assert {name: found["grown"] for name, found in read.items() if found["grown"] > 200} == {}
