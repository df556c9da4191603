"""The door to a bucket makes and deletes objects, on each kind of storage; what was made before stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from object_server import ObjectServer, running_object_server

from tuneloop_api.objects.storage import Storage, StorageRefusedError
from tuneloop_api.wire.uris import OBJECT_SCHEMES, ObjectPath


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with running_object_server() as running:
        for name, value in running.variables_of_all.items():
            monkeypatch.setenv(name, value)
        yield running


def begin(server: ObjectServer, scheme: str, **objects: bytes) -> None:
    server.begin(labels=objects)
    server.is_signed = scheme == "s3://"  # the stand-in knows the signatures of S3


def storage(scheme: str) -> Storage:
    return Storage(ObjectPath(scheme, "labels", "feedback"), tries=1)


@pytest.mark.parametrize("scheme", OBJECT_SCHEMES)
def test_an_object_is_made_once_and_one_of_the_same_name_stays(server, scheme):
    begin(server, scheme)
    storage(scheme).create("feedback/a b.jsonl", b"one\n")
    storage(scheme).create("feedback/a b.jsonl", b"another\n")
    assert server.buckets["labels"] == {"feedback/a b.jsonl": b"one\n"}


@pytest.mark.parametrize("scheme", OBJECT_SCHEMES)
def test_objects_are_deleted_and_one_that_is_gone_is_no_error(server, scheme):
    names = [f"feedback/{number:02d}" for number in range(40)]  # more than a client deletes at a time
    begin(server, scheme, **dict.fromkeys(names, b"1"), c=b"3")
    storage(scheme).delete(["feedback/gone", *names])
    assert server.buckets["labels"] == {"c": b"3"}


@pytest.mark.parametrize("act", [lambda door: door.create("a", b"1"), lambda door: door.delete(["a"])])
def test_who_may_not_write_reads_which_rights_are_needed(server, act):
    server.begin(labels={})
    server.refused = "AccessDenied"
    with pytest.raises(StorageRefusedError, match=r"access is refused \(AccessDenied\)") as refused:
        act(storage("s3://"))
    assert "s3:PutObject" in (refused.value.refusal.hint or "")


def test_an_object_whose_answer_was_lost_is_whole_and_is_no_error_the_second_time(server):
    server.begin(labels={})
    server.loses_answers = 1
    with pytest.raises(StorageRefusedError):
        storage("s3://").create("a", b"one\n")
    storage("s3://").create("a", b"one\n")
    assert server.buckets["labels"] == {"a": b"one\n"}
