"""Objects of a bucket become files, once for a job: a real client, a storage of our own on loopback that checks signatures."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import socket
from collections import namedtuple
from datetime import timedelta
from pathlib import Path

import pytest
from object_server import ACCESS_KEY, SECRET_KEY, ObjectServer, etag

from tuneloop_api.objects import storage
from tuneloop_trainer.errors import ConfigError, DataError, StageError, StorageError
from tuneloop_trainer.objects import fetch
from tuneloop_trainer.objects.snapshot import ObjectSnapshot, snapshot_of_objects

ROWS = {
    "2026/a.csv": b"text,label\na,b\n",
    "2026/b c/ü.jsonl": b"{}",
    "2026/d.parquet": b"",
    "2026/e.tsv": b"1",
    "2026/notes.txt": b"2",
    "2026/.hidden/f.csv": b"3",
    "2026/_temporary/g.csv": b"4",
    "20260/h.csv": b"5",
}
LONG = bytes(range(256)) * 4
PIECE = 100


def snapshot(uri: str, folder: Path, **given: object) -> ObjectSnapshot:
    return snapshot_of_objects(uri, field="data.train[0]", snapshots=folder / "sources", **given)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_the_rows_of_a_folder_become_files_over_pages_of_a_list(server, tmp_path, monkeypatch, scheme):
    monkeypatch.setattr(storage, "_PAGE", 2)
    server.begin(reviews=ROWS)
    server.is_signed = scheme == "s3"
    found = snapshot(f"{scheme}://reviews/2026", tmp_path)
    expected = {name.removeprefix("2026/"): ROWS[name] for name in list(ROWS)[:4]}
    assert contents(found.path) == expected
    assert [item["name"] for item in found.facts["objects"]] == sorted(f"2026/{name}" for name in expected)
    first = found.facts["objects"][0]
    content = ROWS["2026/a.csv"]
    assert first == {
        "name": "2026/a.csv", "size": len(content), "etag": etag(content), "version": None, "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    assert (found.facts["count"], found.facts["bytes"]) == (4, sum(map(len, expected.values())))


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_one_object_becomes_one_file(server, tmp_path, scheme):
    server.begin(reviews=ROWS)
    server.is_signed = scheme == "s3"
    found = snapshot(f"{scheme}://reviews/2026/a.csv", tmp_path)
    assert (found.path.name, found.path.read_bytes()) == ("a.csv", ROWS["2026/a.csv"])
    assert found.facts["count"] == 1


def test_a_snapshot_stays_for_the_job_and_another_run_takes_a_new_one(server, tmp_path):
    server.begin(reviews=dict(ROWS))
    first = snapshot("s3://reviews/2026/a.csv", tmp_path)
    server.buckets["reviews"]["2026/a.csv"] = b"later"
    server.asked.clear()
    assert snapshot("s3://reviews/2026/a.csv", tmp_path, tries=0) == first
    assert server.asked == []
    later = snapshot("s3://reviews/2026/a.csv", tmp_path, run="2")
    assert later.path.read_bytes() == b"later"
    assert later.facts["digest"] != first.facts["digest"]


def test_who_may_not_ask_says_that_the_files_are_gone(server, tmp_path):
    with pytest.raises(ConfigError, match="the files that prepare has fetched are gone"):
        snapshot("s3://reviews/2026", tmp_path, tries=0)
    assert server.asked == []


@pytest.mark.parametrize(
    "fault",
    [pytest.param({"busy": 4}, id="busy four times"), pytest.param({"cut_off": 4}, id="breaks off four times")],
)
def test_a_storage_in_trouble_is_tried_until_all_is_there(server, tmp_path, fault):
    server.begin(reviews=ROWS)
    vars(server).update(fault)
    assert snapshot("s3://reviews/2026/a.csv", tmp_path).path.read_bytes() == ROWS["2026/a.csv"]


def refused(uri: str, folder: Path, kind: type[StageError] = DataError) -> StageError:
    with pytest.raises(StageError) as found:
        snapshot(uri, folder)
    assert type(found.value) is kind, found.value
    assert not any(folder.glob("sources/*.json"))
    return found.value


@pytest.mark.parametrize(
    ("uri", "trouble", "variables", "message", "hint"),
    [
        pytest.param("s3://reviews/2027", {}, {}, " does not exist", "check bucket and path", id="no object"),
        pytest.param("s3://others/2026", {}, {}, ": there is no bucket 'others'", "check the name", id="no bucket"),
        pytest.param("az://others/2026", {"is_signed": False}, {}, ": there is no container 'others'", "check the name", id="no container"),
        pytest.param("s3://reviews/2026", {"refused": "AccessDenied"}, {}, ": access is refused (AccessDenied)", "s3:ListBucket", id="a bucket without rights"),
        pytest.param("gs://reviews/2026", {"refused": "AccessDenied"}, {}, ": access is refused (AccessDenied)", "Storage Object Viewer", id="a bucket of Google without rights"),
        pytest.param("s3://reviews/2026", {}, {"AWS_ACCESS_KEY_ID": "AKIAOFNOBODY"}, ": access is refused (InvalidAccessKeyId)", "check AWS_ACCESS_KEY_ID", id="an unknown key"),
        pytest.param("s3://reviews/2026", {}, {"AWS_SECRET_ACCESS_KEY": f"{SECRET_KEY}x"}, ": access is refused (SignatureDoesNotMatch)", "check AWS_SECRET_ACCESS_KEY", id="a wrong secret"),
        pytest.param("s3://reviews/2026", {}, {"AWS_SECRET_ACCESS_KEY": ""}, ": no credentials were found", "name a Secret", id="no credentials"),
        pytest.param("az://reviews/2026", {}, {"AZURE_STORAGE_ACCOUNT_KEY": ""}, ": no credentials were found", "name a Secret", id="no credentials of Azure"),
        pytest.param("s3://reviews/2026", {}, {"AWS_ENDPOINT_URL": "minio"}, ": AWS_ENDPOINT_URL must be the address of the storage, with http or https, and without user and query; for example https://minio.example.com:9000", None, id="an address that is none"),
        pytest.param("gs://reviews/2026", {}, {"GOOGLE_SERVICE_ACCOUNT_KEY": "{"}, ": Generic GCS error: ", "GOOGLE_SERVICE_ACCOUNT_KEY", id="a key that is none"),
    ],
)  # fmt: skip
def test_what_a_person_must_change_is_said_at_once_and_no_key_is_shown(
    server, tmp_path, monkeypatch, caplog, uri, trouble, variables, message, hint
):
    server.begin(reviews=ROWS)
    vars(server).update(trouble)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if "extension" in message:
        assert (
            snapshot(uri, tmp_path).path.name == "notes.txt"
        )  # what is read of it is the business of whoever reads files
        return
    found = refused(uri, tmp_path)
    assert found.message.startswith(f"data.train[0].uri: {uri}{message}")
    assert (hint or "") in (found.hint or "")
    assert len(server.asked) <= 3
    shown = found.message + (found.hint or "") + caplog.text
    assert not any(value in shown for value in (SECRET_KEY, ACCESS_KEY, "Y2FuYXJ5"))


def test_a_folder_in_which_nothing_can_be_read_names_what_is_there(server, tmp_path):
    server.begin(reviews={"2026/a.pdf": b"1", "2026/b.bin": b"2"})
    message = refused("s3://reviews/2026", tmp_path).message
    assert message.startswith("data.train[0].uri: s3://reviews/2026: no object can be read; allowed: .csv")
    assert message.endswith("there is 2026/a.pdf, 2026/b.bin")


@pytest.mark.parametrize("key", ["2026/../../etc/a.csv", "2026//a.csv", "2026/\x1b[2J.csv", "2026/a.csv/b.csv"])
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_written(server, tmp_path, key):
    server.begin(reviews={"2026/a.csv": b"1", key: b"2"})
    found = refused("s3://reviews/2026", tmp_path)
    assert found.hint == "give the object another name"
    assert found.message.isprintable()
    assert contents(tmp_path) == {}


def test_more_objects_than_a_source_has_are_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr("tuneloop_trainer.objects.snapshot.MOST_OBJECTS", 5)
    server.begin(reviews={f"2026/{number}.csv": b"1" for number in range(6)})
    assert refused("s3://reviews/2026", tmp_path).message.endswith("has more than 5 objects")
    server.begin(reviews={f"2026/{number}.csv": b"1" for number in range(5)})
    assert snapshot("s3://reviews/2026", tmp_path).facts["count"] == 5


def test_a_storage_that_stays_busy_is_named_after_five_tries_and_the_job_may_begin_again(server, tmp_path, caplog):
    server.begin(reviews=ROWS)
    server.busy = 1000
    found = refused("s3://reviews/2026", tmp_path, StorageError)
    assert found.message == "data.train[0].uri: s3://reviews/2026: the storage is busy or has a fault (503)"
    assert len(server.asked) == 5
    assert caplog.text.count("it is tried again") == 4


def test_an_endpoint_that_never_answers_is_given_up(tmp_path, monkeypatch, server):
    monkeypatch.setattr(storage, "_ANSWER", timedelta(seconds=0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes connections, and nobody reads
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        found = refused("s3://reviews/2026", tmp_path, StorageError)
    assert found.message.endswith("the storage did not answer in time")
    assert "AWS_ENDPOINT_URL" in found.hint


def test_an_answer_that_never_ends_is_given_up(tmp_path, monkeypatch, server):
    monkeypatch.setattr(storage, "_PIECE", timedelta(seconds=0.2))
    server.begin(reviews={"a.csv": b"1"})
    server.stalls = True
    found = refused("s3://reviews/a.csv", tmp_path, StorageError)
    server.stalls = False
    assert found.message.endswith("the storage did not answer in time")


def break_off_after(server: ObjectServer, reads: int) -> None:
    """Let the storage fail for good once so many parts were read."""
    left = [reads]

    def count() -> None:
        left[0] -= 1
        server.busy = 1000 if left[0] == 0 else 0

    server.before_read = count


def begun(server: ObjectServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a snapshot of `LONG` of which four of eleven parts are there."""
    monkeypatch.setattr(fetch, "PIECE_BYTES", PIECE)
    server.begin(reviews={"2026/a.csv": b"first", "2026/b.csv": LONG})
    break_off_after(server, 5)
    refused("s3://reviews/2026", folder, StorageError)
    server.busy, server.before_read = 0, lambda: None
    server.asked.clear()


def ranges(server: ObjectServer) -> list[str]:
    return [command.partition("bytes=")[2] for command in server.asked if "bytes=" in command]


def test_a_fetch_that_was_broken_off_goes_on_with_the_part_that_may_not_have_reached_the_disk(
    server, tmp_path, monkeypatch
):
    begun(server, tmp_path, monkeypatch)
    found = snapshot("s3://reviews/2026", tmp_path)
    assert contents(found.path) == {"a.csv": b"first", "b.csv": LONG}
    assert ranges(server)[0] == "300-399"
    assert len(ranges(server)) == 8
    assert {path.name for path in (tmp_path / "sources").iterdir()} == {found.path.name, f"{found.path.name}.json"}


def test_what_was_fetched_of_another_version_is_thrown_away(server, tmp_path, monkeypatch):
    begun(server, tmp_path, monkeypatch)
    server.buckets["reviews"]["2026/b.csv"] = LONG[::-1]
    assert contents(snapshot("s3://reviews/2026", tmp_path).path)["b.csv"] == LONG[::-1]
    assert len(ranges(server)) == 12


@pytest.mark.parametrize(
    "change", [{"2026/a.csv": b"other"}, {"2026/a.csv": b"first, and longer"}, {}], ids=["changed", "longer", "deleted"]
)
def test_an_object_that_changes_between_listing_and_reading_is_named(server, tmp_path, change):
    objects = {"2026/a.csv": b"first"}
    server.begin(reviews=objects)
    server.before_read = lambda: (objects.clear(), objects.update(change))
    message = refused("s3://reviews/2026", tmp_path).message
    assert message.endswith("the object 2026/a.csv was changed or deleted while it was fetched")


def test_a_storage_that_knows_no_conditions_may_not_give_another_size(server, tmp_path):
    objects = {"2026/a.csv": b"first"}
    server.begin(reviews=objects)
    server.knows_if_match = False
    server.before_read = lambda: objects.update({"2026/a.csv": b"first, and longer"})
    assert "was changed or deleted" in refused("s3://reviews/2026", tmp_path).message


def test_a_claim_without_room_is_named_before_anything_is_read(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 0, 10)  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)  # no volume of this machine is full
    server.begin(reviews={"a.csv": LONG})
    found = refused("s3://reviews/a.csv", tmp_path, StorageError)
    assert "0 MiB are to be fetched, 0 MiB are free" in found.message
    assert ranges(server) == []


def test_the_log_says_how_much_is_fetched(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    server.begin(reviews={"a.csv": b"1" * 1_500_000})
    snapshot("s3://reviews/a.csv", tmp_path)
    assert "fetching 1 objects, 1.4 MiB" in caplog.text


def test_the_report_of_a_snapshot_is_kept_beside_it(server, tmp_path):
    server.begin(reviews=ROWS)
    found = snapshot("s3://reviews/2026", tmp_path)
    assert json.loads(found.path.with_suffix(".json").read_bytes()) == {"file": None, "facts": found.facts}
