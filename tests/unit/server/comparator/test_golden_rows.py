"""The file of golden rows: read row by row, and what is wrong is named by its line without its text."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc

import pytest

from tuneloop_server.answers import ANSWERS
from tuneloop_server.comparator import golden_rows
from tuneloop_server.comparator.golden_rows import BadRow, GoldenFile, GoldenRow, GoldenSetRefused

SECRET = "the patient is called Ada"
GOOD = {"inputs": SECRET, "label": "yes"}


def golden(folder, *rows, max_bad_fraction=0.5) -> GoldenFile:
    """A golden set of these rows: objects, or lines as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path = folder / "golden.jsonl"
    path.write_bytes(b"\n".join(lines))
    return of(path, max_bad_fraction=max_bad_fraction)


def of(path, *, max_bad_fraction=0.5) -> GoldenFile:
    answers = ANSWERS["text-classification"]
    return GoldenFile(path=str(path), answers=answers, labels=["no", "yes"], max_bad_fraction=max_bad_fraction)


def row_of(line: int, text: str, *, right) -> GoldenRow:
    return GoldenRow(line=line, target=b"/predict", body=json.dumps({"inputs": text}).encode(), right=right)


def test_rows_have_their_text_and_what_would_be_right(tmp_path):
    rows = [*golden(tmp_path, GOOD, {"inputs": "b"}, {"inputs": "", "label": "no", "more": 1}).read()]
    right = ANSWERS["text-classification"].read_label
    labels = ["no", "yes"]
    assert rows == [
        row_of(1, SECRET, right=right("yes", labels)),
        row_of(2, "b", right=None),
        row_of(3, "", right=right("no", labels)),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param(b"{'inputs': 'x'}", "is no JSON; example: ", id="no json"),
        pytest.param(b'{"inputs": "\xff"}', "is no JSON; ", id="no utf-8"),
        pytest.param(b"[" * 50_000, "is no JSON; ", id="nesting"),
        pytest.param([SECRET], "is no JSON object; ", id="no object"),
        pytest.param({"text": SECRET}, "inputs is missing, expected a text; ", id="no inputs"),
        pytest.param({"inputs": [SECRET]}, "inputs is a list, expected a text; ", id="many inputs"),
        pytest.param({"inputs": "\ud800"}, "inputs is a text with half of a surrogate pair, ", id="half a pair"),
        pytest.param({"inputs": "a", "label": SECRET}, "label is none of the model's 2 labels; ", id="another label"),
        pytest.param(b'{"inputs": "%s"}' % (b"x" * 1024 * 1024), "has more than 1048576 bytes", id="too long"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_its_text_is_not_shown(tmp_path, row, problem):
    first, bad, last = golden(tmp_path, GOOD, row, GOOD).read()
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.problem[: len(problem)]) == (2, problem)
    assert SECRET not in bad.problem
    assert (first.line, last.line) == (1, 3)


def test_empty_lines_are_no_rows_and_count_as_lines(tmp_path):
    rows = [*golden(tmp_path, b"", GOOD, b"  ", b"nothing").read()]
    assert [row.line for row in rows] == [2, 4]


def test_the_check_counts_and_names_the_file_by_its_bytes(tmp_path):
    check = golden(tmp_path, GOOD, b"x", GOOD).check()
    digest = hashlib.sha256((tmp_path / "golden.jsonl").read_bytes()).hexdigest()
    assert (check.rows, check.bad_rows, check.digest) == (2, 1, f"sha256:{digest}")
    assert check.first_bad_rows[0].startswith("line 2: is no JSON")


def test_sentences_about_bad_rows_are_bounded(tmp_path):
    check = golden(tmp_path, *[b"x"] * 500, *[GOOD] * 500).check()
    assert (check.bad_rows, len(check.first_bad_rows)) == (500, 10)


def test_too_many_bad_rows_refuse_the_set_with_the_first_of_them(tmp_path):
    file = golden(tmp_path, GOOD, b"x", GOOD, max_bad_fraction=0.3)
    with pytest.raises(
        GoldenSetRefused, match=r"1 of 3 rows cannot be used, at most 0.3 of them are allowed .*; line 2: is no JSON"
    ):
        file.check()


@pytest.mark.parametrize("content", [(), (b"", b"\n")])
def test_a_set_without_a_row_is_refused(tmp_path, content):
    with pytest.raises(GoldenSetRefused, match="has no row"):
        golden(tmp_path, *content).check()


def test_a_set_of_bad_rows_alone_is_refused_even_if_all_may_be_bad(tmp_path):
    with pytest.raises(GoldenSetRefused, match="1 of 1 rows cannot be used"):
        golden(tmp_path, b"x", max_bad_fraction=1.0).check()


def test_a_file_that_is_not_there_or_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GoldenSetRefused, match=r"nothing.jsonl: cannot be read \(No such file"):
        of(tmp_path / "nothing.jsonl").check()
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(GoldenSetRefused, match="is no file"):
            of(path).check()


def test_more_rows_or_bytes_than_allowed_refuse_the_set(tmp_path, monkeypatch):
    file = golden(tmp_path, GOOD, GOOD, GOOD)
    monkeypatch.setattr(golden_rows, "MOST_ROWS", 2)
    with pytest.raises(GoldenSetRefused, match="more than 2 rows"):
        file.check()
    monkeypatch.setattr(golden_rows, "MOST_BYTES", 60)
    with pytest.raises(GoldenSetRefused, match="more than 60 bytes"):
        file.check()


def test_a_line_without_an_end_counts_whole_towards_the_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(golden_rows, "MOST_LINE_BYTES", 100)
    monkeypatch.setattr(golden_rows, "MOST_BYTES", 5000)
    with pytest.raises(GoldenSetRefused, match="more than 5000 bytes"):
        golden(tmp_path, GOOD, b"x" * 100_000).check()


def test_memory_does_not_grow_with_the_file(tmp_path):
    file = golden(tmp_path, *[{"inputs": "x" * 1000, "label": "no"}] * 5000)
    tracemalloc.start()
    try:
        assert file.check().rows == 5000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
