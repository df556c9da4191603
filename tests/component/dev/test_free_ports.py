"""No two processes of a test run are given the same port."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import free_ports
import pytest
from build_lock import locked

DEV = Path(__file__).parents[3] / "dev"
CHOOSE = """
import random, sys, free_ports
only = [int(port) for port in sys.argv[1:]]
random.SystemRandom.sample = lambda *_: only
print(*free_ports.free_ports(len(only)))
"""


def test_a_port_that_another_process_has_chosen_is_not_given_again() -> None:
    chosen = free_ports.free_ports(3)
    other = subprocess.run(
        [sys.executable, "-c", CHOOSE, *map(str, chosen)], cwd=DEV, capture_output=True, text=True, check=True
    )
    assert other.stdout.split() == []


def test_as_many_ports_are_given_as_are_asked_for_and_no_two_the_same() -> None:
    assert len(set(free_ports.free_ports(50))) == 50


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Path:
    """A temporary folder that another user may write to."""
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def target(tmp_path) -> Path:
    file = tmp_path / "passwd"
    file.write_text("root:x:0:0\n")
    return file


def test_a_planted_lock_of_a_port_leaves_its_target_untouched(shared, target, monkeypatch) -> None:
    locks = shared / f"tuneloop-ports-{os.getuid()}"
    locks.mkdir()
    (locks / "20000").symlink_to(target)
    monkeypatch.setattr("random.SystemRandom.sample", lambda *_: [20000])
    with pytest.raises(OSError, match="symbolic links"):
        free_ports.free_port()
    assert target.read_text() == "root:x:0:0\n"


def test_a_planted_folder_of_locks_is_refused(shared, tmp_path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (shared / f"tuneloop-ports-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(PermissionError, match="is a link, or belongs to another user"):
        free_ports.free_port()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_locks_that_another_user_made_is_refused(shared) -> None:
    theirs = shared / f"tuneloop-ports-{os.getuid()}"
    theirs.mkdir()
    os.chown(theirs, 1234, 1234)
    with pytest.raises(PermissionError, match="belongs to another user"):
        free_ports.free_port()


def test_a_planted_lock_of_a_build_leaves_its_target_untouched(shared, target) -> None:
    (shared / "go.lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"), locked(shared / "go.lock", say=print):
        pass
    assert target.read_text() == "root:x:0:0\n"
