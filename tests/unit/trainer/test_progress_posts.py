"""What rank 0 tells: every message is complete and new, however often checkpoints are saved."""

from __future__ import annotations

from typing import Any

from tuneloop_api.contract.results import Finding, SavedStep
from tuneloop_trainer.training.progress import ProgressPosts
from tuneloop_trainer.training.speed import Speed
from tuneloop_trainer.training.step import StepReport


class Posts:
    """Keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []

    def post(self, **fields: Any) -> None:
        self.posted.append(fields)


def test_a_checkpoint_at_every_step_does_not_hold_the_step_back() -> None:
    posts = Posts()
    progress = ProgressPosts(reporter=posts, is_main_rank=True, total_steps=10, steps_per_epoch=5)
    progress.started(0, latest=None, best=None)
    speed = Speed()
    for step in range(1, 4):
        speed.add(seconds=0.1, tokens=100)
        progress.step(step, StepReport(loss=1 / step, grad_norm=1.0, learning_rate=0.1, stop=False, save=True), speed)
        progress.saved(SavedStep(step=step, path="here"), best=None)
    assert [each["step"] for each in posts.posted] == [0, 1, 2, 3]
    assert posts.posted[-1]["loss"] == 1 / 3


def test_what_was_found_goes_with_every_later_message_until_it_is_over() -> None:
    posts = Posts()
    progress = ProgressPosts(reporter=posts, is_main_rank=True, total_steps=10, steps_per_epoch=5)
    finding = Finding(name="InputBound", message="half of a step's time", advice="a faster volume")
    for found in ([finding], []):
        progress.found(found)
        progress.phase("training")
        progress.phase("evaluating")
    assert [each["findings"] for each in posts.posted] == [[finding], [finding], [], []]


def test_the_other_ranks_are_silent() -> None:
    posts = Posts()
    ProgressPosts(reporter=posts, is_main_rank=False, total_steps=10, steps_per_epoch=5).phase("evaluating")
    assert posts.posted == []
