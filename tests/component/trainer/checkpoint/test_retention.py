"""Which checkpoints go, and what is swept at a start."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.checkpoint.manifest import folder_name, order
from tuneloop_trainer.checkpoint.resume import committed
from tuneloop_trainer.checkpoint.retention import quarantine, quarantined, remove, superfluous, sweep


def names(*places: tuple[int, int]) -> list[str]:
    return [folder_name(step, attempt) for step, attempt in places]


@pytest.mark.parametrize(
    ("there", "best", "newest", "damaged", "gone"),
    [
        pytest.param([(4, 1), (3, 1), (2, 1)], [], (4, 1), [], [(2, 1)], id="the newest two stay"),
        pytest.param([(4, 1), (3, 1), (2, 1), (1, 1)], [1], (4, 1), [], [(2, 1)], id="the best stays too"),
        pytest.param([(4, 1), (3, 1), (2, 1)], [4], (4, 1), [], [(2, 1)], id="the best may be the newest"),
        pytest.param(
            [(4, 1), (3, 1), (2, 1)], [9], (4, 1), [], [(2, 1)], id="a best step that is gone counts for nothing"
        ),
        pytest.param([(4, 1), (3, 1), (2, 1)], [], (2, 1), [(4, 1), (3, 1)], [(4, 1), (3, 1)], id="damaged ones go"),
        pytest.param(
            [(4, 1), (3, 1), (2, 1), (1, 1)],
            [9, 1, 2],
            (4, 1),
            [],
            [(2, 1)],
            id="the best that is there stays while a better one is written",
        ),
        pytest.param(
            [(4, 2), (9, 1), (8, 1)], [], (4, 2), [], [(8, 1)], id="a later attempt is newer than a later step"
        ),
        pytest.param(
            [(4, 2), (4, 1), (3, 1), (2, 1)], [4], (4, 2), [], [(3, 1), (2, 1)], id="of equal steps both may be recent"
        ),
    ],
)
def test_what_is_removed(there, best, newest, damaged, gone) -> None:
    found = superfluous(
        names(*there), last=2, best=1, best_steps=best, newest=folder_name(*newest), damaged=set(names(*damaged))
    )
    assert found == names(*gone)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 4)), unique=True, min_size=1),
    st.integers(1, 3),
    st.lists(st.integers(0, 50), max_size=3),
    st.data(),
)
def test_the_newest_whole_one_always_stays(places, last, best_steps, data) -> None:
    there = sorted(names(*places), key=order, reverse=True)
    newest = data.draw(st.sampled_from(there))
    newer = there[: there.index(newest)]  # some of them are damaged, the others cannot be read at the moment
    damaged = [name for name in newer if data.draw(st.booleans())]
    gone = superfluous(there, last=last, best=1, best_steps=best_steps, newest=newest, damaged=damaged)
    assert newest not in gone
    assert set(damaged) <= set(gone)


def test_a_start_sweeps_what_it_and_earlier_attempts_left_half_done(tmp_path: Path) -> None:
    for name in (
        "step-00000001-a1",
        "step-00000002-a1.tmp",
        "step-00000001-a2.trash",
        "step-00000009-a3.tmp",
        "notes.tmp",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    sweep(tmp_path, attempt=2)
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000001-a1", "step-00000009-a3.tmp", "notes.tmp"}


def folders(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def after_a_bad_loss(tmp_path: Path) -> Path:
    for name in names((10, 1), (20, 1), (30, 2), (40, 3)):
        (tmp_path / name).mkdir()
    return tmp_path


def test_what_earlier_attempts_saved_from_a_step_on_stays_quarantined(after_a_bad_loss: Path) -> None:
    expected = ["step-00000020-a1.suspect", "step-00000030-a2.suspect"]
    for _ in range(2):  # a queue may start the same attempt a second time
        assert sorted(quarantine(after_a_bad_loss, before=20, attempt=3)) == expected
        assert committed(after_a_bad_loss) == ["step-00000040-a3", "step-00000010-a1"]


def test_quarantined_checkpoints_are_kept_until_a_step_was_passed(after_a_bad_loss: Path) -> None:
    quarantine(after_a_bad_loss, before=20, attempt=3)
    assert quarantined(after_a_bad_loss, up_to=19) == []
    assert quarantined(after_a_bad_loss, up_to=20) == ["step-00000020-a1.suspect"]
    remove(after_a_bad_loss, quarantined(after_a_bad_loss, up_to=30))
    assert folders(after_a_bad_loss) == set(names((10, 1), (40, 3)))


def test_a_quarantined_checkpoint_that_was_half_removed_is_swept(tmp_path: Path) -> None:
    (tmp_path / "step-00000020-a1.suspect.trash").mkdir()
    sweep(tmp_path, attempt=1)
    assert folders(tmp_path) == set()


@pytest.mark.parametrize(
    ("left", "after"),
    [
        pytest.param(["step-00000020-a1.replaced", "step-00000020-a1.tmp"], "old", id="the new one has no name yet"),
        pytest.param(["step-00000020-a1.replaced", "step-00000020-a1"], "new", id="the new one has the name"),
    ],
)
def test_a_step_that_was_being_saved_again_is_there(tmp_path: Path, left: list[str], after: str) -> None:
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("old" if name.endswith(".replaced") else "new")
    sweep(tmp_path, attempt=1)
    assert folders(tmp_path) == {"step-00000020-a1"}
    assert (tmp_path / "step-00000020-a1" / "file").read_text() == after


def test_only_committed_folders_are_listed_newest_first(tmp_path: Path) -> None:
    for name in (
        "step-00000010-a1",
        "step-100000000-a1",
        "step-00000002-a2",
        "step-00000003-a2.tmp",
        "step-3-a2",
        "ATTEMPT",
    ):
        (tmp_path / name).mkdir()
    assert committed(tmp_path) == ["step-00000002-a2", "step-100000000-a1", "step-00000010-a1"]
