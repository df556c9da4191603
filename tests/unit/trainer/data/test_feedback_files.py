"""What may lie in the folder of feedback rows: damage, rows of other releases, and what is no file of rows."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from feedback_files import NOON, line, row, rows_of, taken, write
from log_records import messages_of

from tuneloop_trainer.errors import ConfigError, DataError, StorageError


@pytest.mark.parametrize(
    "damage",
    [b'{"version": 1', b"\xff\xfe\n", b"[]\n", b"7\n", b"x" * 100 + b"\n", b"[" * 50_000 + b"\n", b'{"version":1}\n'],
)
def test_damaged_lines_and_one_that_a_crash_has_cut_are_passed_over(tmp_path, damage):
    write(tmp_path / "rows", [row("a")])
    (tmp_path / "rows" / "2026-12-01-x.jsonl").write_bytes(line(row("b", "bad", at=NOON - 1)) + damage)
    assert [label for _, label in rows_of(tmp_path)] == ["good", "bad"]
    assert taken(tmp_path).facts["damagedLines"] == (0 if not damage.endswith(b"\n") else 1)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path, rows: path.mkdir(), id="a folder"),
        pytest.param(lambda path, rows: os.mkfifo(path), id="a pipe, from which nothing comes"),
        pytest.param(lambda path, rows: path.symlink_to(rows), id="a link to rows elsewhere"),
        pytest.param(lambda path, rows: path.symlink_to("/dev/zero"), id="a link to a device without end"),
        pytest.param(lambda path, rows: path.symlink_to("gone"), id="a link to nothing"),
    ],
)
def test_what_is_no_file_of_rows_is_passed_over_and_named(tmp_path, make):
    write(tmp_path / "elsewhere", [row("b", "bad")])
    write(tmp_path / "rows", [row("a")])
    make(tmp_path / "rows" / "0.jsonl", tmp_path / "elsewhere" / "2026-11-30-0.jsonl")
    with messages_of("tuneloop_trainer.data.feedback.labelled") as messages:
        assert [label for _, label in rows_of(tmp_path)] == ["good"]
        assert taken(tmp_path).facts["files"] == 1
    assert "feedback://reviews/0.jsonl: is no plain file, and is passed over" in messages


def test_a_folder_that_is_a_link_to_the_rows_of_another_deployment_is_refused(tmp_path):
    write(tmp_path / "elsewhere", [row("a")])
    (tmp_path / "rows").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        ConfigError, match=r"^data.train\[0\].uri: feedback://reviews: the folder of its rows, .*, is a link$"
    ):
        taken(tmp_path)


@pytest.mark.parametrize("blank", ["  ", "\u3000\n"])
def test_a_blank_text_counts_as_none_and_fails_no_job(tmp_path, blank):
    write(tmp_path / "rows", [row("a"), row("b", text=blank)])
    found = taken(tmp_path)
    assert len(found.path.read_bytes().splitlines()) == 1
    assert (found.facts["predictions"], found.facts["withoutText"]) == (2, 1)


def test_a_scratch_folder_without_room_is_named(tmp_path):
    write(tmp_path / "rows", [row(str(number), text="x" * 1000) for number in range(4000)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageError, match="the rows of feedback cannot be collected: "):
            taken(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_a_server_removes_at_this_moment_has_no_rows(tmp_path, monkeypatch):
    write(tmp_path / "rows", [row("a", "bad")], [row("b")])
    first, second = sorted((tmp_path / "rows").iterdir())

    def found(*_: object):
        first.unlink()
        return [first, second]

    monkeypatch.setattr(Path, "glob", found)
    assert [label for _, label in rows_of(tmp_path)] == ["good"]


def test_a_row_of_a_newer_release_is_an_error_and_not_passed_over(tmp_path):
    write(tmp_path / "rows", [row("a")])
    with (tmp_path / "rows" / "2026-11-30-0.jsonl").open("ab") as file:
        file.write(b'{"version": 2}\n')
    with pytest.raises(DataError, match="has rows of version 2, and this trainer knows version 1"):
        taken(tmp_path)
