"""Rows of feedback that servers send to a bucket: whole objects, each once, whatever ends the server or holds up the storage."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from feedback_in_memory import NOON, FeedbackServer
from object_server import ObjectServer, running_object_server

from tuneloop_api.contract.feedback_row import FeedbackRow
from tuneloop_api.contract.server_config import FeedbackStore
from tuneloop_api.wire.uris import object_path
from tuneloop_server.errors import CannotServe
from tuneloop_server.feedback import uploads
from tuneloop_server.feedback.start import MOST_OBJECT_SECONDS, row_writer_of

URI = "s3://labels/team/feedback/reviews"
PREFIX = "team/feedback/reviews/"
DEADLINE = 30.0


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with running_object_server() as server:
        server.begin(labels={})
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def server(bucket: ObjectServer, tmp_path: Path) -> FeedbackServer:
    return FeedbackServer(tmp_path, rows=tmp_path / "spool", bucket=object_path(URI))


def rows_of(bucket: ObjectServer) -> list[FeedbackRow]:
    """The rows of all objects, in the order of their names."""
    contents = [content for _, content in sorted(bucket.buckets["labels"].items())]
    return [FeedbackRow.from_wire(json.loads(line)) for content in contents for line in content.splitlines()]


def label(server: FeedbackServer, *texts: str) -> None:
    for text in texts:
        server.take(server.predict(text=text), "negative", text=text)
    assert server.writer is not None
    assert server.writer.flush()


def let_files_be_closed(server: FeedbackServer) -> None:
    server.seconds += MOST_OBJECT_SECONDS
    server.writer._shards.close_old()


def test_rows_are_collected_for_their_time_and_then_one_object(server, bucket, tmp_path):
    label(server, "film 1")
    assert server.uploads.send()
    assert bucket.buckets["labels"] == {}
    server.seconds += MOST_OBJECT_SECONDS - 1
    label(server, "film 2")
    assert (server.uploads.send(), bucket.buckets["labels"]) == (True, {})
    assert server.value("tuneloop_feedback_rows_waiting") == 2
    let_files_be_closed(server)
    assert server.uploads.send()
    ((name, _),) = bucket.buckets["labels"].items()
    assert name.startswith(f"{PREFIX}2026-11-30-")
    assert [row.text for row in rows_of(bucket)] == ["film 1", "film 2"]
    assert [*(tmp_path / "spool").iterdir()] == []
    assert server.value("tuneloop_feedback_rows_waiting") == 0
    assert server.value('tuneloop_feedback_rows_total{outcome="written"') == 2


def test_what_comes_later_is_another_object(server, bucket):
    for text in ("film 1", "film 2"):
        label(server, text)
        let_files_be_closed(server)
        assert server.uploads.send()
    assert len(bucket.buckets["labels"]) == 2
    assert {row.text for row in rows_of(bucket)} == {"film 1", "film 2"}


def test_an_upload_whose_answer_is_lost_is_made_again_and_its_rows_count_once(server, bucket, caplog):
    label(server, "film 1")
    let_files_be_closed(server)
    bucket.loses_answers = 1
    assert not server.uploads.send()
    assert server.value('tuneloop_feedback_rows_total{outcome="written"') == 0
    assert server.uploads.send()
    assert [row.text for row in rows_of(bucket)] == ["film 1"]
    assert server.value('tuneloop_feedback_rows_total{outcome="written"') == 1
    assert server.value("tuneloop_feedback_write_failures_total") == 1


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        pytest.param(lambda bucket: setattr(bucket, "refused", "AccessDenied"), "access is refused (AccessDenied)", id="no rights"),
        pytest.param(lambda bucket: setattr(bucket, "busy", 2), "busy or has a fault (SlowDown)", id="busy"),
        pytest.param(lambda bucket: setattr(bucket, "buckets", {}), "there is no bucket 'labels'", id="no bucket"),
    ],
)  # fmt: skip
def test_a_bucket_in_trouble_is_named_once_and_its_rows_wait(server, bucket, caplog, trouble, reason):
    label(server, "film 1")
    let_files_be_closed(server)
    trouble(bucket)
    assert not server.uploads.send()
    assert not server.uploads.send()
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{URI}: cannot be written (")
    assert reason in message
    assert "film" not in message
    assert server.value("tuneloop_feedback_write_failures_total") == 2
    assert server.value("tuneloop_feedback_rows_waiting") == 1
    bucket.refused, bucket.busy, bucket.buckets = "", 0, {"labels": {}}
    assert server.uploads.send()
    assert [row.text for row in rows_of(bucket)] == ["film 1"]


def test_without_credentials_rows_wait_and_the_log_says_what_is_needed(server, caplog, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    label(server, "film 1")
    let_files_be_closed(server)
    assert not server.uploads.send()
    assert "no credentials were found" in caplog.text
    assert "name a Secret with AWS_ACCESS_KEY_ID" in caplog.text


def test_what_a_killed_process_has_left_is_sent_by_the_next_one_with_its_cut_line(server, bucket, tmp_path):
    label(server, "film 1", "film 2")
    (path,) = (tmp_path / "spool").iterdir()
    with path.open("ab") as file:
        file.write(b'{"version": 1, "predi')
    server.writer._shards.close()  # as the system does for a process that is killed
    again = replace(server)
    again.uploads.start()
    again.uploads.close()
    ((_, content),) = bucket.buckets["labels"].items()
    assert content.endswith(b"predi")
    assert content.count(b"\n") == 2
    assert again.value('tuneloop_feedback_rows_total{outcome="written"') == 2
    assert again.value("tuneloop_feedback_rows_waiting") == 0


def test_a_file_that_a_silent_bucket_holds_up_to_the_end_is_named_as_lost(server, bucket, caplog, monkeypatch):
    monkeypatch.setattr(uploads, "UPLOAD_SECONDS", 1.0)
    server.uploads.start()
    wait_for(lambda: bucket.asked)  # old objects are looked for
    bucket.is_silent = True
    label(server, "film 1")
    let_files_be_closed(server)
    wait_for(lambda: any(asked.startswith("PUT") for asked in bucket.asked))
    server.uploads.close()
    assert "1 files of feedback are lost with this pod" in caplog.text


def test_a_file_that_is_removed_while_it_is_looked_at_stops_no_later_one(server, bucket, tmp_path, monkeypatch):
    label(server, "film 1")
    let_files_be_closed(server)
    (path,) = (tmp_path / "spool").iterdir()
    lock = fcntl.flock

    def removed_meanwhile(file, operation):  # as rows whose retention is over are
        path.unlink()
        lock(file, operation)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", removed_meanwhile)
        server.uploads.send()
    label(server, "film 2")
    let_files_be_closed(server)
    assert server.uploads.send()
    assert "film 2" in [row.text for row in rows_of(bucket)]


def test_objects_of_days_that_are_over_are_deleted_and_those_of_others_stay(server, bucket):
    def name(day: str) -> str:
        return f"{PREFIX}{day}-{'0' * 16}.jsonl"

    others = [f"{PREFIX}notes.txt", f"{PREFIX}2026-01-01.jsonl", f"{PREFIX}old/2026-01-01-{'0' * 16}.jsonl"]
    days = [name(day) for day in ("2026-01-01", "2026-08-31", "2026-09-01", "2026-11-30")]
    next_door = f"team/feedback/reviews-2/2026-01-01-{'0' * 16}.jsonl"
    bucket.begin(labels=dict.fromkeys([*days, *others, next_door], b"{}\n"))
    server.now = NOON  # 90 days before the begin of this day: September 1
    server.uploads.remove_old()
    assert set(bucket.buckets["labels"]) == {*days[2:], *others, next_door}


def test_a_disk_with_too_much_on_it_takes_no_further_file(tmp_path, bucket, caplog):
    server = FeedbackServer(tmp_path, rows=tmp_path / "spool", bucket=object_path(URI), most_spool_bytes=1)
    label(server, "film 1")
    let_files_be_closed(server)
    server.take(server.predict(text="film 2"), "negative", text="film 2")
    assert not server.writer.flush()
    assert "MiB wait here already" in caplog.text
    assert server.uploads.send()
    assert server.writer.flush()


def wait_for(found) -> None:
    end = time.monotonic() + DEADLINE
    while not found():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


SERVER = """
import sys
from pathlib import Path
from feedback_in_memory import FeedbackServer
from tuneloop_api.contract.server_config import FeedbackStore
from tuneloop_server.feedback.start import row_writer_of
server = FeedbackServer(Path(sys.argv[1]))
writer = row_writer_of(FeedbackStore(bucket=sys.argv[2]), server.monitoring)
writer.start()
server.feedback._rows = writer
for text in map(str.strip, sys.stdin):
    server.take(server.predict(text=text), "negative", text=text)
writer.close()
"""


@contextmanager
def process_of_a_pod(folder: Path) -> Iterator[subprocess.Popen]:
    """A process that takes each line as a text with its label, as a server does, and ends with its input."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SERVER, str(folder), URI]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1, env=environment) as process:
        yield process
        process.kill()


def test_what_was_on_the_disk_outlives_a_kill_and_the_next_process_of_the_pod_sends_it(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    spool = tmp_path / "feedback"
    with process_of_a_pod(tmp_path) as killed:
        killed.stdin.write("a good film\n")
        wait_for(lambda: any(path.stat().st_size for path in spool.glob("*.jsonl")))
        killed.kill()
    assert bucket.buckets["labels"] == {}
    with process_of_a_pod(tmp_path) as stopped:
        wait_for(lambda: bucket.buckets["labels"])
        stopped.stdin.write("a bad film\n")
        stopped.stdin.close()
        assert stopped.wait(DEADLINE) == 0
    assert sorted(row.text for row in rows_of(bucket)) == ["a bad film", "a good film"]
    assert [*spool.iterdir()] == []


def test_a_bucket_of_an_unknown_kind_is_refused_before_the_first_prediction(tmp_path):
    server = FeedbackServer(tmp_path)
    with pytest.raises(CannotServe, match="ftp://labels/a is no address of object storage that this server knows"):
        row_writer_of(FeedbackStore(bucket="ftp://labels/a"), server.monitoring)
