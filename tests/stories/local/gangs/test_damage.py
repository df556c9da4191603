"""Whatever happens to a committed file is found before a byte of it is used."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import run_ranks

from tuneloop_trainer.checkpoint.resume import Damaged, check_files, committed, read_manifest

SCRIPT = Path(__file__).with_name("gang_saving.py")
FILES = ["MANIFEST.json", "rank00000.safetensors", "rank00001.safetensors"]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    run_ranks(SCRIPT, "save_steps", world_size=2, folder=str(folder), steps=[1, 2])
    return folder


def newest_whole(folder: Path) -> str | None:
    """Return the newest checkpoint that passes every check."""
    for name in committed(folder):
        try:
            check_files(folder / name, read_manifest(folder / name).files)
        except Damaged:
            continue
        return name
    return None


def flip(path: Path, at: float, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)


def truncate(path: Path, at: float, _bit: int) -> None:
    path.write_bytes(path.read_bytes()[: int(at * (path.stat().st_size - 1))])


def lengthen(path: Path, _at: float, bit: int) -> None:
    path.write_bytes(path.read_bytes() + bytes([bit]))


def delete(path: Path, _at: float, _bit: int) -> None:
    path.unlink()


def swap_with_the_older_step(path: Path, _at: float, _bit: int) -> None:
    shutil.copy(path.parent.with_name("step-00000001-a1") / path.name, path)


def swap_with_the_next_file(path: Path, _at: float, _bit: int) -> None:
    shutil.copy(path.with_name(FILES[(FILES.index(path.name) + 1) % 3]), path)


def lose_a_page(path: Path, at: float, _bit: int) -> None:
    content = path.read_bytes()
    start = int(at * (len(content) - 1))
    page = content[start : start + 512]
    path.write_bytes(content[:start] + bytes(255 - byte for byte in page) + content[start + 512 :])


def become_a_folder(path: Path, _at: float, _bit: int) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [
    flip, truncate, lengthen, delete, lose_a_page, swap_with_the_older_step, swap_with_the_next_file, become_a_folder,
]  # fmt: skip


def test_an_untouched_checkpoint_is_whole(good: Path) -> None:
    assert newest_whole(good) == "step-00000002-a1"


@settings(max_examples=1000, deadline=None)
@given(
    damage=st.sampled_from(DAMAGES),
    file=st.sampled_from(FILES),
    at=st.floats(0, 1),
    bit=st.integers(0, 7),
)
def test_a_corrupt_checkpoint_is_found_whatever_became_of_any_file_and_the_one_before_is_taken(
    good: Path, damage, file: str, at: float, bit: int
) -> None:
    with TemporaryDirectory() as copy:
        folder = Path(shutil.copytree(good, Path(copy, "checkpoints")))
        damage(folder / "step-00000002-a1" / file, at, bit)
        assert newest_whole(folder) == "step-00000001-a1"


def test_a_folder_under_another_name_is_not_what_its_manifest_says(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good / "step-00000002-a1", tmp_path / "step-00000003-a1")
    with pytest.raises(Damaged, match="MANIFEST.json belongs to step-00000002-a1"):
        read_manifest(tmp_path / "step-00000003-a1")
