"""A job reads the feedback that servers have sent to a bucket, as it reads that of a claim."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from feedback_files import CUTOFF, NOON, line, of_side, row, write
from run_configs import run_config

from tuneloop_api.contract.data_settings import SourceSettings
from tuneloop_api.contract.feedback_row import FeedbackRow
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.uris import ObjectPath, object_path
from tuneloop_trainer.data.feedback import in_bucket
from tuneloop_trainer.data.feedback.snapshot import snapshot_of
from tuneloop_trainer.data.locate_source import located
from tuneloop_trainer.data.row_table import TEST, TRAIN
from tuneloop_trainer.errors import DataError, StorageError

URI = "s3://labels/team/feedback/reviews"
ROWS = [
    row(f"{number:016x}{side:016x}", text=of_side(side, number), at=NOON + number)
    for number in range(4)
    for side in (TRAIN, TEST)
]
LATE = row("f" * 32, text=of_side(TRAIN, 9), at=NOON + 7200)


def names(*rows: FeedbackRow) -> dict[str, bytes]:
    """An object for each row."""
    return {f"team/feedback/reviews/2026-11-30-{number:016x}.jsonl": line(found) for number, found in enumerate(rows)}


def taken(rows: Path | ObjectPath | None, folder: Path, *, split: int = TRAIN, tries: int = 1):
    return snapshot_of(
        rows, uri="feedback://reviews", field="data.train[0]", split=split, cutoff=CUTOFF, snapshots=folder, tries=tries
    )


@pytest.mark.parametrize("split", [TRAIN, TEST])
def test_the_rows_are_those_of_a_claim_byte_for_byte_up_to_the_cutoff(server, tmp_path, split):
    write(tmp_path / "claim", [*ROWS, LATE])
    server.begin(labels=names(LATE, *reversed(ROWS)))
    of_claim = taken(tmp_path / "claim", tmp_path / "one", split=split)
    of_bucket = taken(object_path(URI), tmp_path / "other", split=split)
    assert of_bucket.path.read_bytes() == of_claim.path.read_bytes()
    assert of_bucket.path.read_bytes().count(b"\n") == 4
    assert of_bucket.facts == of_claim.facts | {"files": 9}
    assert {path.suffix for path in (tmp_path / "other").iterdir()} == {".json", ".jsonl"}


def test_a_snapshot_that_was_taken_is_not_fetched_again(server, tmp_path):
    server.begin(labels=names(*ROWS))
    first = taken(object_path(URI), tmp_path)
    server.begin(labels={})
    assert taken(object_path(URI), tmp_path) == first == taken(None, tmp_path)
    assert server.asked == []


def test_what_is_no_file_of_rows_is_not_read(server, tmp_path):
    others = {"team/feedback/reviews/notes.txt": b"x", "team/feedback/reviews/old/a.jsonl": line(LATE)}
    next_door = {"team/feedback/reviews-2/a.jsonl": line(LATE)}
    server.begin(labels=names(*ROWS) | others | next_door)
    assert taken(object_path(URI), tmp_path).facts["files"] == len(ROWS)


def test_a_file_that_goes_while_it_is_fetched_is_passed_over(server, tmp_path):
    server.begin(labels=names(*ROWS))
    first = min(server.buckets["labels"])
    server.before_read = lambda: server.buckets["labels"].pop(first, None)
    assert taken(object_path(URI), tmp_path).facts["files"] == len(ROWS) - 1


def test_a_fetch_that_broke_off_goes_on_with_what_is_missing(server, tmp_path):
    server.begin(labels=names(*ROWS))
    reads = iter(range(100))

    def refuse_the_fourth() -> None:
        if next(reads) == 3:
            server.refused = "AccessDenied"

    server.before_read = refuse_the_fourth
    with pytest.raises(DataError, match=r"data.train\[0\].uri: feedback://reviews: access is refused \(AccessDenied\)"):
        taken(object_path(URI), tmp_path)
    server.refused, server.before_read = "", lambda: None
    server.asked.clear()
    taken(object_path(URI), tmp_path)
    assert 0 < len([asked for asked in server.asked if ".jsonl" in asked]) < len(ROWS)


def test_a_bucket_that_is_busy_lets_the_job_begin_again(server, tmp_path):
    server.begin(labels=names(*ROWS))
    server.busy = 100
    with pytest.raises(StorageError, match="feedback://reviews: the storage is busy"):
        taken(object_path(URI), tmp_path)


def test_more_files_than_can_be_read_are_named(server, tmp_path, monkeypatch):
    monkeypatch.setattr(in_bucket, "MOST_SHARDS", 3)
    server.begin(labels=names(*ROWS))
    with pytest.raises(DataError, match="has more than 3 objects") as refused:
        taken(object_path(URI), tmp_path)
    assert "feedback.retention" in (refused.value.hint or "")


def test_a_disk_without_room_is_named_before_anything_is_read(server, tmp_path, monkeypatch):
    server.begin(labels=names(*ROWS))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(StorageError, match="are to be fetched"):
        taken(object_path(URI), tmp_path)
    assert [asked for asked in server.asked if ".jsonl" in asked] == []


def test_a_source_of_the_job_leads_to_the_bucket_that_prepare_was_given(server, tmp_path):
    server.begin(labels=names(*ROWS))
    config = run_config(tmp_path)
    config = changed(config, paths=changed(config.paths, feedback={"reviews": URI}))
    source = SourceSettings(uri="feedback://reviews", cutoff=CUTOFF)
    found = located(source, split=TRAIN, field="data.train[0]", config=config, snapshots=tmp_path / "feedback")
    (file,) = found.files
    texts = [json.loads(text)["text"] for text in file.path.read_bytes().splitlines()]
    assert sorted(texts) == sorted(of_side(TRAIN, number) for number in range(4))
