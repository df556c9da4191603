"""However often the writers of checkpoints are killed, the next finds a whole one: the last that was committed, or the one on its way."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from ranks import run_ranks

SCRIPT = Path(__file__).with_name("gang_torture.py")


@pytest.mark.parametrize(
    ("world_size", "kills"),
    [
        pytest.param(1, 50, id="50-writers-alone"),
        pytest.param(1, 200, id="200-writers-alone", marks=pytest.mark.full),
        pytest.param(2, 5, id="5-whole-gangs"),
    ],
)
def test_a_torn_checkpoint_is_never_loaded(tmp_path: Path, world_size: int, kills: int) -> None:
    (lives,) = run_ranks(
        SCRIPT,
        "kill_writers",
        world_size=1,
        deadline=250.0,
        folder=str(tmp_path),
        seeds=list(range(kills + 1)),
        gang=world_size,
    )
    assert len(lives) == kills + 1
    for before, after in pairwise(lives):
        assert after["found"] in (before["committed"], before["begun"])
        assert after["is_right"]
        assert after["damaged"] == 0
    assert lives[-1]["found"] >= kills
    if world_size == 1:
        assert any(".tmp" in life["left"] for life in lives), "some were killed in the middle of a save"
