"""What later releases read: the bytes of a manifest, and the names of a checkpoint's folder."""

from __future__ import annotations

import json

import pytest

from tuneloop_api.wire.canonical import digest_of
from tuneloop_trainer.checkpoint.fence import FENCE
from tuneloop_trainer.checkpoint.manifest import (
    DELETING,
    MANIFEST,
    QUARANTINED,
    WRITING,
    Manifest,
    SavedFile,
    TrainState,
    folder_name,
    order,
    run_identity,
)
from tuneloop_trainer.checkpoint.resume import Damaged, Unreadable, check_files, read_manifest

WIRE = {
    "version": 1, "step": 60, "attempt": 2, "savedAt": "2026-11-25T10:00:00Z", "configHash": "0123456789abcdef", "frozen": "fp32:0", "adamStep": 60,
    "state": {"data": {"epoch": 1}, "best": {"step": 60, "metric": "loss", "value": 0.5}, "earlyStop": {"waited": 1}, "extra": {"bestSteps": [60]}},
    "facts": {"worldSize": 2}, "files": [{"name": "rank00000.safetensors", "size": 3, "sha256": "ab"}],
}  # fmt: skip


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        step=60,
        attempt=2,
        saved_at="2026-11-25T10:00:00Z",
        config_hash="0123456789abcdef",
        frozen="fp32:0",
        adam_step=60,
        state=TrainState(
            data={"epoch": 1},
            best={"step": 60, "metric": "loss", "value": 0.5},
            early_stop={"waited": 1},
            extra={"bestSteps": [60]},
        ),
        fingerprint={"worldSize": 2},
        files=[SavedFile(name="rank00000.safetensors", size=3, sha256="ab")],
    )


def encoded(wire: dict) -> bytes:
    return (json.dumps(wire | {"digest": digest_of(wire)}, sort_keys=True, indent=1) + "\n").encode()


def test_a_manifest_has_the_bytes_that_other_releases_read_and_write(manifest):
    assert manifest.encode() == encoded(WIRE)
    assert Manifest.decode(encoded(WIRE)) == manifest


def test_a_field_of_a_later_release_is_no_damage(manifest):
    assert Manifest.decode(encoded(WIRE | {"later": [1]})) == manifest


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(WIRE).replace(b'"step": 60,\n "version"', b'"step": 61,\n "version"'), id="another value"),
        pytest.param(encoded(WIRE)[:-1], id="cut short"),
        pytest.param(json.dumps(WIRE).encode(), id="no digest"),
        pytest.param(b"[1]", id="no object"),
        pytest.param(encoded(WIRE | {"version": 2}), id="another version of the format"),
    ],
)
def test_a_manifest_that_is_not_what_was_written_is_refused(content):
    assert content != encoded(WIRE)
    with pytest.raises(ValueError, match="."):
        Manifest.decode(content)


def test_a_state_without_an_evaluation_has_no_best():
    assert TrainState.from_wire({}) == TrainState(data={}, best=None, early_stop=None, extra={})


def test_the_names_on_the_volume_are_those_of_every_release():
    assert (MANIFEST, FENCE) == ("MANIFEST.json", "ATTEMPT")
    assert (WRITING, DELETING, QUARANTINED) == (".tmp", ".trash", ".suspect")
    assert folder_name(60, 2) == "step-00000060-a2"
    assert folder_name(123_456_789, 10) == "step-123456789-a10"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("step-00000060-a2", (2, 60)),
        ("step-123456789-a10", (10, 123_456_789)),
        ("step-0000060-a2", None),
        ("step-00000060-a2.tmp", None),
        ("x-step-00000060-a2", None),
        ("step-00000060", None),
    ],
)
def test_a_committed_folder_is_known_by_its_name(name, key):
    assert order(name) == key


def test_settings_data_and_model_make_the_identity_of_a_run():
    identity = run_identity("c", dataset_digest="d", model_revision="m")
    assert identity == digest_of(["c", "d", "m"])[:16]
    assert len(identity) == 16


def test_a_checkpoint_without_a_whole_manifest_is_damaged(tmp_path, manifest):
    folder = tmp_path / "step-00000061-a2"
    folder.mkdir()

    def reason() -> str:
        with pytest.raises(Damaged) as damaged:
            read_manifest(folder)
        assert not isinstance(damaged.value, Unreadable)
        return str(damaged.value)

    assert reason() == "MANIFEST.json is missing"
    (folder / MANIFEST).write_bytes(manifest.encode()[:-1])
    assert reason() == "MANIFEST.json is not what was written"
    (folder / MANIFEST).write_bytes(manifest.encode())
    assert reason() == "MANIFEST.json belongs to step-00000060-a2"
    assert read_manifest(folder.rename(tmp_path / "step-00000060-a2")) == manifest


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"abc", None),
        (b"abcd", "has 4 bytes, 3 were written"),
        (b"abd", "has another SHA-256 than what was written"),
        (None, "is missing"),
    ],
)
def test_a_file_is_whole_if_size_and_digest_are_those_of_the_manifest(tmp_path, content, reason):
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of abc
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    files = [SavedFile(name="file", size=3, sha256=sha256)]
    if reason is None:
        check_files(tmp_path, files)
    else:
        with pytest.raises(Damaged, match=f"^file {reason}$"):
            check_files(tmp_path, files)
