"""A file that cannot be read at the moment is told apart from one that is damaged: only the second is lost."""

from __future__ import annotations

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
    ("make", "finding", "told"),
    [
        pytest.param(fail_to_read, Unreadable, "cannot be read: Input/output error", id="a faulty read may go by"),
        pytest.param(leave_out, Damaged, "is missing", id="a file that is not there is damage"),
        pytest.param(put_a_folder, Damaged, "cannot be read: Is a directory", id="a folder in its place is damage"),
    ],
)
def test_only_a_read_that_failed_leaves_open_what_is_there(tmp_path: Path, make, finding, told) -> None:
    for name in (MANIFEST, FILE.name):
        make(tmp_path / name)
    for check, name in (
        (lambda: read_manifest(tmp_path), MANIFEST),
        (lambda: check_files(tmp_path, [FILE]), FILE.name),
    ):
        with pytest.raises(Damaged, match=f"{name} {told}") as raised:
            check()
        assert raised.type is finding


def test_a_file_in_the_place_of_a_checkpoint_is_damage(tmp_path: Path) -> None:
    (tmp_path / "step-00000001-a1").write_bytes(b"")
    with pytest.raises(Damaged, match="Not a directory") as raised:
        read_manifest(tmp_path / "step-00000001-a1")
    assert raised.type is Damaged
