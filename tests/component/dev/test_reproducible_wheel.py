"""Two builds of the same files are the same bytes, whatever the dates and modes of the two trees are."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from supply_chain import wheel

ROOT = Path(__file__).resolve().parents[3]
EPOCH = 1_700_000_000


def _tree(folder: Path, files: list[str], *, mode: int, date: int) -> Path:
    """Copy the files of this tree, with other modes and dates, as under another umask on another day."""
    for name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(mode)
        os.utime(target, (date, date))
    return folder


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    files = wheel.tracked_files(ROOT)
    built = []
    for name, order, mask, mode, date in (
        ("one", files, 0o022, 0o644, 1_500_000_000),
        ("another", files[::-1], 0o077, 0o700, 1_600_000_000),
    ):
        folder = tmp_path_factory.mktemp(name)
        before = os.umask(mask)
        try:
            tree = _tree(folder / "tree", order, mode=mode, date=date)
            built.append(wheel.build(tree, order, out=folder / "out", epoch=EPOCH))
        finally:
            os.umask(before)
    return built


def test_two_builds_are_the_same_bytes(wheels):
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels)
    assert first == second


def test_the_wheel_has_the_given_date_and_modes_that_everybody_can_read(wheels):
    with zipfile.ZipFile(wheels[0]) as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(2023, 11, 14, 22, 13, 20)}
    assert {entry.external_attr >> 16 & 0o777 for entry in entries} <= {0o644, 0o664}


def test_the_wheel_holds_our_modules_and_nothing_else(wheels):
    modules = {name.split("/", 1)[1] for name in wheel.tracked_files(ROOT) if name.endswith(".py")}
    with zipfile.ZipFile(wheels[0]) as archive:
        assert {name for name in archive.namelist() if name.endswith(".py")} == modules
