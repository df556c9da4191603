"""What rank 0 posts: every message is complete and new, however often checkpoints are saved."""

from __future__ import annotations

from typing import Any

from tuneloop_api.contract.results import Finding, SavedStep
from tuneloop_trainer.training.batch_schedule import Tokens
from tuneloop_trainer.training.listeners.listener import SavedEvent, StartEvent, StepEvent
from tuneloop_trainer.training.listeners.progress import ProgressPosts
from tuneloop_trainer.training.speed import Speed
from tuneloop_trainer.training.step import StepReport


class Posts:
    """Keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []

    def post(self, **fields: Any) -> None:
        self.posted.append(fields)


def progress_of(posts: Posts, *, is_main_rank: bool = True) -> ProgressPosts:
    return ProgressPosts(reporter=posts, is_main_rank=is_main_rank, total_steps=10, best_metric="loss")


def step_event(step: int, speed: Speed) -> StepEvent:
    report = StepReport(loss=1 / step, grad_norm=1.0, learning_rate=0.1, stop=False, save=True)
    return StepEvent(step=step, epoch=step / 5, report=report, tokens=Tokens(100, 110), seconds=0.1, speed=speed)


def test_a_checkpoint_at_every_step_does_not_hold_the_step_back() -> None:
    posts, speed = Posts(), Speed()
    progress = progress_of(posts)
    progress.started(StartEvent(step=0, last=None, best=None))
    for step in range(1, 4):
        speed.add(seconds=0.1, tokens=100)
        progress.step(step_event(step, speed))
        progress.saved(SavedEvent(saved=SavedStep(step=step, path="here"), best=None, save_seconds_p95=None))
    assert [message["step"] for message in posts.posted] == [0, 1, 2, 3]
    assert posts.posted[-1]["loss"] == 1 / 3


def test_findings_go_with_every_later_message_until_they_are_over() -> None:
    posts = Posts()
    progress = progress_of(posts)
    finding = Finding(name="InputBound", message="half of a step's time", advice="a faster volume")
    for found in ([finding], []):
        progress.findings(found)
        progress.save_failed("no space")
        progress.last_step(10)
    assert [message["findings"] for message in posts.posted] == [[finding], [finding], [], []]


def test_the_other_ranks_are_silent() -> None:
    posts = Posts()
    progress_of(posts, is_main_rank=False).last_step(10)
    assert posts.posted == []
