"""Who may commit checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop_trainer.checkpoint.fence import FENCE, Fence
from tuneloop_trainer.errors import StorageError


@pytest.fixture
def fence(tmp_path: Path) -> Fence:
    fence = Fence(tmp_path, attempt=2)
    fence.take()
    return fence


def test_the_newest_owner_may_save(fence: Fence) -> None:
    fence.check()
    assert fence.lost() is None


def test_who_was_replaced_may_not_save_any_more(fence: Fence, tmp_path: Path) -> None:
    Fence(tmp_path, attempt=3).take()
    assert "attempt 3 has started in another pod" in fence.lost()


def test_a_fence_that_is_gone_lets_nobody_save(fence: Fence, tmp_path: Path) -> None:
    (tmp_path / FENCE).unlink()
    with pytest.raises(StorageError, match="ATTEMPT: is gone or damaged: attempt 2 must not save any more"):
        fence.check()


def test_a_fence_that_cannot_be_read_is_no_sign_of_another_owner(fence: Fence, tmp_path: Path) -> None:
    (tmp_path / FENCE).unlink()
    (tmp_path / FENCE).mkdir()
    assert fence.lost() is None
