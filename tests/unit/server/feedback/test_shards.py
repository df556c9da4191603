"""The files of rows: whole lines, by day and size, for as long as they are kept."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import pytest
from feedback_in_memory import NOON
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.feedback.cohorts import DAY_SECONDS
from tuneloop_server.feedback.shards import Shards

HOUR = 3600
RANDOM = "0123456789abcdef"


def shards(folder, **changes):
    return Shards(folder, **({"retention_seconds": 30 * DAY_SECONDS} | changes))


@contextmanager
def files_of_at_most(size: int):
    """As on a full disk: no file of this process may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def content(folder) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.iterdir())


def test_lines_of_a_day_are_appended_to_one_file(tmp_path):
    rows = shards(tmp_path / "rows")
    rows.write([(NOON, b"a\n"), (NOON + 1, b"b\n")])
    rows.write([(NOON + 2, b"c\n")])
    assert content(tmp_path / "rows") == [b"a\nb\nc\n"]


def test_a_new_day_has_a_new_file(tmp_path):
    shards(tmp_path).write([(NOON, b"a\n"), (NOON + DAY_SECONDS, b"b\n")])
    assert sorted(path.name[:10] for path in tmp_path.iterdir()) == ["2026-11-30", "2026-12-01"]


def test_a_file_that_would_grow_too_large_is_left_for_a_new_one(tmp_path):
    rows = shards(tmp_path, most_bytes=10)
    for _ in range(3):
        rows.write([(NOON, b"12345\n")])
    assert content(tmp_path) == [b"12345\n"] * 3


def test_two_processes_write_to_files_of_their_own(tmp_path):
    for text in (b"a\n", b"b\n"):
        shards(tmp_path).write([(NOON, text)])
    assert content(tmp_path) == [b"a\n", b"b\n"]


def test_nobody_but_the_owner_and_the_group_reads_rows(tmp_path):
    shards(tmp_path / "rows").write([(NOON, b"a\n")])
    (path,) = (tmp_path / "rows").iterdir()
    assert path.stat().st_mode & 0o007 == (tmp_path / "rows").stat().st_mode & 0o007 == 0


def test_a_full_disk_leaves_whole_lines_and_what_failed_can_be_written_again(tmp_path):
    rows = shards(tmp_path)
    rows.write([(NOON, b"first\n")])
    with files_of_at_most(10), pytest.raises(OSError, match="too large"):
        rows.write([(NOON, b"second line\n")])
    assert content(tmp_path) == [b"first\n"]
    rows.write([(NOON, b"second line\n")])
    assert content(tmp_path) == [b"first\n", b"second line\n"]


def test_a_disk_without_any_room_is_not_filled_with_empty_files(tmp_path):
    rows = shards(tmp_path)
    for _ in range(3):
        with files_of_at_most(3), pytest.raises(OSError, match="too large"):
            rows.write([(NOON, b"a line\n")])
    assert content(tmp_path) == []


@given(lines=st.lists(st.binary(min_size=1, max_size=20), max_size=20), limit=st.integers(0, 60))
def test_however_full_the_disk_is_no_line_is_lost_or_cut(tmp_path_factory, lines, limit):
    folder = tmp_path_factory.mktemp("rows")
    rows, wanted = shards(folder), [line.replace(b"\n", b"") + b"\n" for line in lines]
    for line in wanted:
        try:
            with files_of_at_most(limit):
                rows.write([(NOON, line)])
        except OSError:
            rows.write([(NOON, line)])
    written = [line for text in content(folder) for line in text.split(b"\n")[:-1]]
    assert sorted(written) == sorted(line[:-1] for line in wanted)
    rows.close()


@pytest.mark.parametrize(("days", "hours", "left"), [(30, 13, 1), (30, 13.1, 0), (1, 0, 1), (400, 0, 0)])
def test_the_files_of_a_day_go_when_the_day_has_been_over_for_the_retention_and_an_hour(tmp_path, days, hours, left):
    rows = shards(tmp_path)
    rows.write([(NOON, b"a\n")])
    assert rows.remove_old(now=NOON + days * DAY_SECONDS + hours * HOUR) == 1 - left
    assert len([*tmp_path.iterdir()]) == left


def test_files_of_others_are_never_removed(tmp_path):
    for name in (
        "notes.jsonl",
        f"2026-13-01-{RANDOM}.jsonl",
        f"2020-01-01-{RANDOM}.txt",
        "2020-01-01-relabelled.jsonl",
    ):
        (tmp_path / name).write_text("")
    assert shards(tmp_path).remove_old(now=NOON) == 0
    assert shards(tmp_path / "absent").remove_old(now=NOON) == 0
    assert len([*tmp_path.iterdir()]) == 4


def test_what_cannot_be_removed_keeps_no_other_file(tmp_path):
    (tmp_path / f"2020-01-01-{RANDOM}.jsonl").mkdir()
    (tmp_path / f"2020-01-02-{RANDOM}.jsonl").write_text("")
    with pytest.raises(OSError, match=rf"2020-01-01-{RANDOM}"):
        shards(tmp_path).remove_old(now=NOON)
    assert [path.name for path in tmp_path.iterdir()] == [f"2020-01-01-{RANDOM}.jsonl"]


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    target = tmp_path / "target"
    target.write_text("of somebody else")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / f"2020-01-01-{RANDOM}.jsonl").symlink_to(target)
    assert shards(tmp_path / "rows").remove_old(now=NOON) == 1
    assert target.read_text() == "of somebody else"


def test_a_folder_that_is_a_link_leads_neither_rows_nor_what_is_removed_elsewhere(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"2020-01-01-{RANDOM}.jsonl").write_text("of another deployment")
    (tmp_path / "rows").symlink_to(elsewhere)
    rows = shards(tmp_path / "rows")
    for work in (lambda: rows.write([(NOON, b"a\n")]), lambda: rows.remove_old(now=NOON)):
        with pytest.raises(OSError, match="the folder is a link"):
            work()
    assert [path.name for path in elsewhere.iterdir()] == [f"2020-01-01-{RANDOM}.jsonl"]


def test_a_clock_that_goes_back_over_midnight_leaves_each_row_in_the_file_of_its_day(tmp_path):
    midnight = NOON + DAY_SECONDS / 2
    shards(tmp_path).write([(midnight - 1, b"a\n"), (midnight + 1, b"b\n"), (midnight - 2, b"c\n")])
    found = sorted((path.name[:10], path.read_bytes()) for path in tmp_path.iterdir())
    assert found == [("2026-11-30", b"a\n"), ("2026-11-30", b"c\n"), ("2026-12-01", b"b\n")]
