"""A row that is longer than a row may be is a bad row; the rows around it are read, and no row is read again and again."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_trainer.data.sources import bounded_lines as module
from tuneloop_trainer.data.sources import read_delimited
from tuneloop_trainer.data.sources.bounded_lines import CutLine, bounded_lines
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import LONGEST_ROW, BadReason, WantedColumns
from tuneloop_trainer.data.sources.sources import read_file
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.locate import FORMATS, DataFile

LONG = "x" * (LONGEST_ROW + 1)
PIECES = st.lists(st.sampled_from(["a", "bc", "\n", "\n\n", "d" * 7, "e" * 40]), max_size=12)


def read(path):
    names = {"text": "text", "label": "label"} if path.suffix != ".conll" else {"tokens": "tokens", "tags": "tags"}
    file = DataFile(path=path, format=FORMATS[path.suffix], name=path.name)
    batches = read_file(file, wanted=WantedColumns(columns=names), field="data.train[0]")
    return [(row.number, row.problem or row.cells) for batch in batches for row in batch.rows]


@settings(deadline=None)
@given(pieces=PIECES)
def test_lines_are_whole_or_cut_and_none_is_lost(pieces) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_ROW", 8)
        patch.setattr(module, "_PIECE", 5)
        text = "".join(pieces)
        found = list(bounded_lines(io.StringIO(text, newline="\n")))
    whole = text.splitlines(keepends=True)
    assert [type(line) is CutLine for line in found] == [len(line.rstrip("\n")) > 8 for line in whole]
    assert [line for line in found if type(line) is str] == [line for line in whole if len(line.rstrip("\n")) <= 8]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        (
            "rows.jsonl",
            "".join(json.dumps({"text": text, "label": "a"}) + "\n" for text in ("one", LONG, "two")),
            [(1, ("one", "a")), (2, BadReason.TOO_LONG), (3, ("two", "a"))],
        ),
        (
            "rows.csv",
            f"text,label\none,a\n{LONG},a\ntwo,a\n",
            [(2, ("one", "a")), (3, BadReason.TOO_LONG), (4, ("two", "a"))],
        ),
        (
            "rows.csv",
            f'text,label\none,a\n"open,a\n{LONG},a\ntwo,a\n',
            [(2, ("one", "a")), (3, BadReason.OPEN_QUOTE), (4, BadReason.TOO_LONG), (5, ("two", "a"))],
        ),
        (
            "rows.conll",
            f"one O\n\nand O\n{LONG} O\nmore O\n\ntwo O\n",
            [(1, (["one"], ["O"])), (3, BadReason.TOO_LONG), (7, (["two"], ["O"]))],
        ),
        (
            "rows.conll",
            f"one O\n\n{LONG} O\n\ntwo O\n",
            [(1, (["one"], ["O"])), (3, BadReason.TOO_LONG), (5, (["two"], ["O"]))],
        ),
    ],
)
def test_the_rows_around_a_long_one_are_read(tmp_path, name, content, rows) -> None:
    (tmp_path / name).write_text(content)
    assert read(tmp_path / name) == rows


def test_a_quote_that_is_open_for_longer_than_a_row_says_so(tmp_path) -> None:
    (tmp_path / "rows.csv").write_text(f'text,label\n"open,a\n{LONG},a\ntwo,a\n')
    file = DataFile(path=tmp_path / "rows.csv", format="csv", name="rows.csv")
    wanted = WantedColumns(columns={"text": "text", "label": "label"})
    (batch,) = read_file(file, wanted=wanted, field="data.train[0]")
    assert str(batch.rows[0].excerpt) == 'the quote is not closed within 4,194,304 characters: "open,a'


def test_quotes_that_have_the_file_read_again_and_again_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(read_delimited, "_GIVEN_BACK", 10_000)
    (tmp_path / "rows.csv").write_text("text,label\n" + 'a","x\n' * 500)
    with pytest.raises(DataError, match="too many quotes take in the rows behind them, at last that of line"):
        read(tmp_path / "rows.csv")


def test_an_excerpt_cannot_steer_a_terminal_and_is_short() -> None:
    assert excerpt_of("a\x1b[2J\u202e\r\nb").quote == r"a\x1b[2J\u202e b"
    assert len(excerpt_of("\x1b" * 1000).quote) == 121


def test_a_value_of_many_levels_has_an_excerpt():
    value = []
    for _ in range(100_000):
        value = [value]
    assert str(excerpt_of(value)) == "a list of many levels"
