"""A file that cannot be read at the moment is not damaged: it may be read later, and a damaged file is lost."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tuneloop_trainer.checkpoint.manifest import MANIFEST, SavedFile
from tuneloop_trainer.checkpoint.resume import Damaged, Unreadable, check_files, read_manifest

FILE = SavedFile(name="rank00000.safetensors", size=4, sha256="")


def fail_to_read(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # opens, and its first read is an EIO from the kernel


def leave_out(_path: Path) -> None:
    pass


def put_a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "finding", "reason"),
    [
        pytest.param(fail_to_read, Unreadable, "cannot be read: Input/output error", id="a faulty read may go by"),
        pytest.param(leave_out, Damaged, "is missing", id="a file that is not there is damage"),
        pytest.param(put_a_folder, Damaged, "cannot be read: Is a directory", id="a folder in its place is damage"),
    ],
)
def test_only_a_read_that_failed_leaves_open_what_is_there(tmp_path: Path, make, finding, reason) -> None:
    for name in (MANIFEST, FILE.name):
        make(tmp_path / name)
    for check, name in (
        (lambda: read_manifest(tmp_path), MANIFEST),
        (lambda: check_files(tmp_path, [FILE]), FILE.name),
    ):
        with pytest.raises(Damaged, match=f"{name} {reason}") as raised:
            check()
        assert raised.type is finding


def test_a_file_in_the_place_of_a_checkpoint_is_damage(tmp_path: Path) -> None:
    (tmp_path / "step-00000001-a1").write_bytes(b"")
    with pytest.raises(Damaged, match="Not a directory") as raised:
        read_manifest(tmp_path / "step-00000001-a1")
    assert raised.type is Damaged


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"abc", "has 3 bytes, 4 were written", id="cut short"),
        pytest.param(b"abcde", "has 5 bytes, 4 were written", id="longer"),
        pytest.param(b"abcd", "has another SHA-256 than what was written", id="changed"),
    ],
)
def test_damage_is_found_by_size_first_and_then_by_digest(tmp_path: Path, content, reason) -> None:
    (tmp_path / FILE.name).write_bytes(content)
    with pytest.raises(Damaged, match=reason):
        check_files(tmp_path, [FILE])


def test_a_file_as_it_was_written_is_whole(tmp_path: Path) -> None:
    (tmp_path / FILE.name).write_bytes(b"abcd")
    check_files(tmp_path, [SavedFile(name=FILE.name, size=4, sha256=hashlib.sha256(b"abcd").hexdigest())])
