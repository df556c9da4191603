"""The power is cut at any moment of real saves: the system calls of a gang are recorded, and each beginning of them is replayed.

What was not fsynced is lost, there, or there in part. The next start must find the last checkpoint whose save has returned, or a newer one.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from power_cuts import cuts, write_tree
from ranks import run_ranks
from system_calls import Change, changes_in, require_strace

from tuneloop_trainer.checkpoint.fence import FENCE
from tuneloop_trainer.checkpoint.manifest import MANIFEST
from tuneloop_trainer.checkpoint.resume import Damaged, check_files, committed, read_manifest
from tuneloop_trainer.checkpoint.retention import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).with_name("gang_power_cuts.py")
STEPS = (0, 1, 2, 2, 3)
"""The newest saved step after each mark."""
SEEDS = 4


@dataclass(frozen=True)
class Recording:
    """The changes of both ranks, below the root."""

    root: Path
    changes: list[Change]


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    require_strace()
    root, calls = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("calls")
    run_ranks(SCRIPT, "save_recorded", world_size=2, root=str(root), calls=str(calls))
    return Recording(root, changes_in(calls / "0", calls / "1", below=root))


class Disks:
    """What the next start finds after a cut."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tried: dict[object, str] = {}

    def problems(self, recording: Recording, changes: list[Change]) -> Iterator[str]:
        """Yield what is wrong after a cut, for every moment at which something is."""
        for number, tree in cuts(recording.root, changes, seeds=SEEDS):
            marks = sum(change.path.name.startswith("returned-") for change in changes[:number])
            key = marks, tuple(sorted(tree.items(), key=itemgetter(0)))
            if key not in self._tried:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir()
                write_tree(tree, self._folder)
                self._tried[key] = problem_of(self._folder / "job" / "checkpoints", marks=marks)
            if what := self._tried[key]:
                last = changes[number - 1]
                yield f"after {number} changes ({last.call} {last.path.name}): {what}"


def problem_of(checkpoints: Path, *, marks: int) -> str:
    """Return what the next start would find wrong; empty if it finds what it must."""
    if checkpoints.is_dir():
        sweep(checkpoints, attempt=2)
    names = committed(checkpoints) if checkpoints.is_dir() else []
    for name in names:
        try:
            check_files(checkpoints / name, read_manifest(checkpoints / name).files)
        except Damaged as damage:
            return f"{name}: {damage}"
    if not marks:
        return ""
    newest = read_manifest(checkpoints / names[0]).step if names else 0
    if newest < STEPS[marks - 1]:
        return f"step {STEPS[marks - 1]} was saved, and step {newest} is the newest"
    try:
        attempt = json.loads((checkpoints / FENCE).read_bytes())["attempt"]
    except (OSError, ValueError):
        attempt = None
    return "" if attempt == 1 else "the fence is lost"


@pytest.fixture(scope="module")
def disks(tmp_path_factory) -> Disks:
    return Disks(tmp_path_factory.mktemp("disks") / "disk")


def test_a_power_cut_at_any_moment_leaves_every_checkpoint_whole_and_the_last_saved_one(
    recording: Recording, disks: Disks
) -> None:
    made = {change.path.name for change in recording.changes if change.call == "create"}
    assert {MANIFEST, "rank00000.safetensors", "rank00001.safetensors"} <= made
    assert list(disks.problems(recording, recording.changes)) == []


def test_each_fsync_that_is_left_out_is_noticed(recording: Recording, disks: Disks) -> None:
    numbers = [number for number, change in enumerate(recording.changes) if change.call == "fsync"]
    unnoticed = []
    for number in numbers:
        changes = [*recording.changes[:number], *recording.changes[number + 1 :]]
        if next(disks.problems(recording, changes), None) is None:
            unnoticed.append(f"{number}: {recording.changes[number].path}")
    assert len(numbers) > 20
    assert unnoticed == []
