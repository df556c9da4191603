"""How progress is shown, and how often it is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.progress import ProgressMessage
from tuneloop_api.v1alpha1 import FineTuneJobStatus
from tuneloop_api.v1alpha1.fine_tune_job_status import Restarts
from tuneloop_operator.status.progress import duration_text, percent, with_progress

Bed = Any


def message(sequence: int = 1, **fields: Any) -> ProgressMessage:
    wire = {"stage": "train", "attempt": 1, "sequence": sequence, "sentAt": "2026-01-01T12:00:00Z"}
    return ProgressMessage.from_wire(wire | fields)


@pytest.mark.parametrize(
    ("stage", "fraction", "shown"),
    [
        ("prepare", 0, "0%"),
        ("prepare", 1, "5%"),
        ("train", 0.5, "50%"),
        ("train", 1, "95%"),
        ("export", 1, "99%"),
        ("train", 7, "95%"),
    ],
)
def test_percent_is_of_the_whole_job(stage: Any, fraction: float, shown: str) -> None:
    assert percent(stage, fraction) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (12000, "3h20m"), (190000, "2d4h"), (-5, "0s")],
)
def test_time_left_is_said_as_people_say_it(seconds: int, shown: str) -> None:
    assert duration_text(seconds) == shown


@pytest.mark.parametrize(
    ("posted", "shown"), [(0.6903394013643265, 0.690339), (12.0, 12.0), (1.23456789e-7, 1.23457e-7), (0, 0)]
)
def test_the_loss_is_rounded_for_the_reader_of_a_table(posted: float, shown: float) -> None:
    status = with_progress(FineTuneJobStatus(attempt=1), message(loss=posted), stage="train")
    assert status.progress is not None
    assert status.progress.loss == shown


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), max_size=20))
def test_the_newest_checkpoint_never_goes_back(saves: list[tuple[int, bool]]) -> None:
    status = FineTuneJobStatus(attempt=1)
    for step, has_checkpoint in saves:
        saved = {"latest": {"step": step, "path": "/p"}} if has_checkpoint else {}
        status = with_progress(status, message(step=step, **saved), stage="train")
    steps = [step for step, has_checkpoint in saves if has_checkpoint]
    latest = status.checkpoint.latest if status.checkpoint else None
    assert (latest.step if latest else None) == max(steps, default=None)


@pytest.mark.parametrize(("step", "left"), [(100, 2), (101, 0)])
def test_only_a_newer_checkpoint_is_progress(step: int, left: int) -> None:
    status = with_progress(FineTuneJobStatus(attempt=1), message(latest={"step": 100, "path": "/p"}), stage="train")
    status = status.model_copy(update={"restarts": Restarts(total=2, without_progress=2, since_checkpoint=2)})
    status = with_progress(status, message(latest={"step": step, "path": "/p"}), stage="train")
    assert status.restarts is not None
    assert (status.restarts.without_progress, status.restarts.total) == (left, 2)


@pytest.mark.parametrize("stranger", [message(attempt=2), message(stage="prepare", attempt=0)])
def test_another_attempt_or_stage_changes_nothing(stranger: ProgressMessage) -> None:
    status = FineTuneJobStatus(attempt=1)
    assert with_progress(status, stranger, stage="train") == status


def test_progress_is_written_at_most_every_ten_seconds(bed: Bed) -> None:
    async def life() -> None:
        await bed.train()
        before = len(bed.cluster.writes)
        for step in range(1, 21):
            bed.operator.progress("team-a", "reviews", message(step, step=step, totalSteps=100, etaSeconds=720))
            await bed.settle(later=1)
        assert len(bed.cluster.writes) - before == 2
        await bed.settle(later=10)
        assert bed.status["progress"]["step"] == 20
        assert bed.status["progress"]["eta"] == "12m"
        assert bed.status["progress"]["percent"] == "23%"

    asyncio.run(life())


def test_a_restart_shows_no_speed_and_no_time_left(bed: Bed) -> None:
    async def life() -> None:
        bed.submit()
        await bed.settle()
        bed.succeed("reviews-prepare")
        await bed.settle()
        bed.operator.progress("team-a", "reviews", message(step=5, totalSteps=100, etaSeconds=720, tokensPerSecond=9.0))
        bed.fail("reviews-a1", exit_code=77)
        await bed.settle()
        assert bed.status["attempt"] == 2
        assert bed.status["progress"]["step"] == 5
        assert not bed.status["progress"].keys() & {"eta", "etaSeconds", "tokensPerSecond"}

    asyncio.run(life())
