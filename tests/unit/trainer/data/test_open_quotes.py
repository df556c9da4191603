"""A quote that was meant as text takes in the rows behind it: found, named by its line, and the rows behind it are read."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tuneloop_trainer.data.sources.raw import LONGEST_ROW, BadReason, RawRow, WantedColumns
from tuneloop_trainer.data.sources.sources import read_file
from tuneloop_trainer.locate import FORMATS, DataFile

WANTED = WantedColumns(columns={"text": "text", "label": "label"})
WORDS = ("good", "film,", "bad", "it's", "slow", "a", "5", '7" disc', "end")
KINDS = [(".csv", ","), (".tsv", "\t")]


def read(path: Path) -> list[RawRow]:
    file = DataFile(path=path, format=FORMATS[path.suffix], name=path.name)
    return [row for batch in read_file(file, wanted=WANTED, field="data.train[0]") for row in batch.rows]


def lines_of(count: int, *, mark: str, seed: int = 0) -> list[str]:
    source = random.Random(seed)
    words = [word for word in WORDS if mark == "\t" or "," not in word]
    return [
        f"{' '.join(source.choices(words, k=6))} {number}{mark}{('pos', 'neg')[number % 2]}" for number in range(count)
    ]


def write(path: Path, lines: list[str], *, mark: str, end: str = "\n") -> Path:
    path.write_text(end.join([f"text{mark}label", *lines, ""]), newline="")
    return path


@pytest.mark.parametrize(("suffix", "mark"), KINDS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "closing",
    [
        pytest.param('the last word was "stop"', id="closed where a row ends a cell with a quote"),
        pytest.param('it was called the end"', id="closed at the end of a cell"),
        pytest.param('"another one', id="closed where a row begins with a quote"),
        pytest.param('it was "fine" all in all', id="closed in the middle of a row"),
        pytest.param(None, id="never closed"),
    ],
)
@pytest.mark.parametrize("swallowed", [1, 2, 30])
def test_only_the_row_with_the_quote_is_bad_and_the_rows_behind_it_are_read(
    tmp_path, suffix, mark, end, closing, swallowed
):
    rows = lines_of(60, mark=mark)
    rows[10] = f'"Great film{mark}pos'
    if closing is not None:
        rows[10 + swallowed] = f"{closing}{mark}neg"
    bad_rows = [10] if closing is None or not closing.startswith('"') else [10, 10 + swallowed]
    found = read(write(tmp_path / f"a{suffix}", rows, mark=mark, end=end))
    assert [row.number for row in found] == list(range(2, 62))
    assert [index for index, row in enumerate(found) if row.problem is not None] == bad_rows
    assert {found[index].problem for index in bad_rows} == {BadReason.OPEN_QUOTE}
    assert str(found[10].excerpt).endswith(f'"Great film{mark}pos'.replace("\t", " "))
    assert all(
        row.cells[1] == ("pos", "neg")[index % 2]
        for index, row in enumerate(found)
        if row.cells and index != 10 + swallowed
    )


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_the_answers_of_rows_behind_one_that_is_too_long_are_known(tmp_path, end):
    rows = lines_of(60, mark=",")
    rows[0], rows[10], rows[12] = "x" * (LONGEST_ROW + 1) + ",pos", '"Great film,pos', 'it ends with "stop",neg'
    found = read(write(tmp_path / "a.csv", rows, mark=",", end=end))
    assert [(row.number, row.problem) for row in found if row.problem is not None] == [
        (2, BadReason.TOO_LONG),
        (12, BadReason.OPEN_QUOTE),
    ]
    assert len(found) == 60


@pytest.mark.parametrize(("suffix", "mark"), KINDS)
def test_a_file_that_begins_with_such_a_row_is_read(tmp_path, suffix, mark):
    rows = [f'"Great film{mark}pos', *lines_of(31, mark=mark), f'so it "ends"{mark}neg', *lines_of(31, mark=mark)]
    found = read(write(tmp_path / f"a{suffix}", rows, mark=mark))
    assert [row.number for row in found if row.problem is not None] == [2]
    assert len(found) == 64


def test_every_row_may_begin_with_a_quote_that_is_text(tmp_path):
    rows = [f'"{line}' for line in lines_of(3000, mark="\t")]
    found = read(write(tmp_path / "a.tsv", rows, mark="\t"))
    assert len(found) == 3000
    assert {row.problem for row in found} <= {BadReason.OPEN_QUOTE, BadReason.MALFORMED_CSV}


LINES = st.lists(
    st.sampled_from(["good", "bad", ",", ", ", '"', "\n", "\n\n", " ", "pos ", "a, b", "x"]), min_size=1, max_size=30
).map("".join)


@pytest.mark.parametrize(("suffix", "mark"), KINDS)
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(LINES, min_size=1, max_size=8), quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
@example(texts=["\na, b\na, b\n"], quoting=csv.QUOTE_ALL)
def test_texts_of_many_lines_in_correct_quotes_are_whole(tmp_path_factory, suffix, mark, texts, quoting):
    """Texts that begin with a whole row, and hold more rows with an answer of two rows, cannot be told from rows behind an open quote."""
    ends = [line.rpartition(mark)[2] for text in texts for line in text.splitlines() if mark in line]
    assume(len(set(ends)) == len(ends) or not any(mark in text.partition("\n")[0] for text in texts))
    rows = [(text, ("pos", "neg")[index % 2]) for index, text in enumerate(texts)]
    path = tmp_path_factory.mktemp("d") / f"a{suffix}"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=mark, quoting=quoting).writerows([("text", "label"), *rows])
    assert [row.cells for row in read(path)] == rows


@pytest.mark.parametrize(
    ("rows_behind", "problem"),
    [
        pytest.param(3, BadReason.OPEN_QUOTE, id="three lines"),
        pytest.param(2, BadReason.WRONG_CELLS, id="two lines, which may be chance"),
    ],
)
def test_lines_with_the_tabs_of_rows_are_rows_although_each_has_a_value_of_its_own(tmp_path, rows_behind, problem):
    rows = [f"film {number}\t0.{number}1" for number in range(20)]
    rows[5] = '"film 5\t0.51'
    rows[5 + rows_behind] += '"'
    found = read(write(tmp_path / "a.tsv", rows, mark="\t"))
    assert found[5].problem == problem
    assert len(found) == 20 - (rows_behind if problem is BadReason.WRONG_CELLS else 0)
