"""How progress is shown, and how often it is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operator_harness import OperatorHarness

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.v1alpha1 import FineTuneJobStatus
from tuneloop_api.v1alpha1.common import MOST_SHORT_TEXT_CHARACTERS
from tuneloop_api.v1alpha1.fine_tune_job.status import (
    CheckpointStatus,
    EvaluationValue,
    Progress,
    Restarts,
    SavedCheckpoint,
)
from tuneloop_operator.status.fine_tune_job.progress import duration_text, percent, with_progress


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
def test_time_left_is_text_for_people(seconds: int, shown: str) -> None:
    assert duration_text(seconds) == shown


@pytest.mark.parametrize(
    ("posted", "shown"), [(0.6903394013643265, 0.690339), (12.0, 12.0), (1.23456789e-7, 1.23457e-7), (0, 0)]
)
def test_the_loss_is_rounded_for_the_reader_of_a_table(posted: float, shown: float) -> None:
    status = with_progress(FineTuneJobStatus(attempt=1), message(loss=posted), stage="train")
    assert status.progress is not None
    assert status.progress.loss == shown


def test_a_message_counts_without_the_metrics_whose_names_the_status_does_not_hold() -> None:
    before = with_progress(
        FineTuneJobStatus(attempt=1), message(step=1, evaluation={"name": "loss", "value": 0.5}), stage="train"
    )
    too_long = {"name": "n" * (MOST_SHORT_TEXT_CHARACTERS + 1), "value": 0.25}
    best = {"step": 2, "path": "/best", "metric": too_long["name"], "value": 0.25}
    after = with_progress(before, message(step=2, evaluation=too_long, best=best), stage="train")
    assert after.progress is not None
    assert (after.progress.step, after.progress.evaluation) == (2, EvaluationValue(name="loss", value=0.5))
    assert after.checkpoint == CheckpointStatus(best=SavedCheckpoint(step=2, path="/best"))


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


def second_attempt(*, known: int = 100) -> FineTuneJobStatus:
    """Return the status of a second attempt that has posted nothing yet; the first attempt saved at step `known`."""
    saved = SavedCheckpoint(step=known, path="/old")
    return FineTuneJobStatus(
        attempt=2,
        checkpoint=CheckpointStatus(latest=saved, best=saved),
        restarts=Restarts(total=2, without_progress=2, since_checkpoint=2),
    )


def saved(step: int) -> dict[str, Any]:
    return {"step": step, "path": f"/step-{step}"}


@pytest.mark.parametrize(
    ("posted", "latest", "left"),
    [
        pytest.param({"startStep": 50, "latest": saved(50)}, saved(50), 2, id="going back is no progress"),
        pytest.param({"startStep": 50, "latest": saved(70)}, saved(70), 0, id="what it saved since is"),
        pytest.param({"startStep": 50}, {"step": 50}, 2, id="where it started was saved, whatever else it says"),
        pytest.param({"startStep": 0}, None, 2, id="it restarted at step 0"),
        pytest.param({"startStep": 0, "latest": saved(10)}, saved(10), 0, id="it restarted at step 0, and saved"),
        pytest.param({"startStep": 100, "latest": saved(100)}, saved(100), 2, id="it found the known one"),
        pytest.param({"startStep": 120, "latest": saved(120)}, saved(120), 0, id="it found a newer one"),
    ],
)
def test_an_attempt_that_starts_below_the_newest_checkpoint_takes_its_place(
    posted: dict[str, Any], latest: dict[str, Any] | None, left: int
) -> None:
    status = with_progress(second_attempt(), message(attempt=2, **posted), stage="train").to_wire()
    assert status["checkpoint"].get("latest") == latest
    assert status["restarts"]["withoutProgress"] == status["restarts"]["sinceCheckpoint"] == left


def test_a_checkpoint_that_is_passed_over_is_not_shown_as_the_best_one() -> None:
    status = with_progress(second_attempt(), message(attempt=2, startStep=50, latest=saved(50)), stage="train")
    assert status.checkpoint is not None
    assert status.checkpoint.best is None


def test_an_attempt_that_went_back_goes_back_no_further() -> None:
    status = second_attempt()
    for step in (50, 70, 60):
        status = with_progress(status, message(attempt=2, startStep=50, latest=saved(step)), stage="train")
    assert status.checkpoint is not None
    assert status.checkpoint.latest == SavedCheckpoint(**saved(70))


def test_a_late_post_of_an_older_attempt_moves_no_checkpoint() -> None:
    status = second_attempt()
    assert with_progress(status, message(attempt=1, startStep=50, latest=saved(50)), stage="train") == status


def test_a_save_of_an_attempt_that_started_at_step_0_is_not_lost_by_saying_so_again() -> None:
    status = second_attempt().model_copy(update={"progress": Progress(start_step=0)})
    status = with_progress(status, message(attempt=2, startStep=0), stage="train")
    assert status.checkpoint == second_attempt().checkpoint


@pytest.mark.parametrize("stranger", [message(attempt=2), message(stage="prepare", attempt=0)])
def test_another_attempt_or_stage_changes_nothing(stranger: ProgressMessage) -> None:
    status = FineTuneJobStatus(attempt=1)
    assert with_progress(status, stranger, stage="train") == status


def test_progress_is_written_at_most_every_ten_seconds(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        before = len(harness.cluster.writes)
        for step in range(1, 21):
            harness.operator.progress("team-a", "reviews", message(step, step=step, totalSteps=100, etaSeconds=720))
            await harness.settle(later=1)
        assert len(harness.cluster.writes) - before == 2
        await harness.settle(later=10)
        assert harness.status["progress"]["step"] == 20
        assert harness.status["progress"]["eta"] == "12m"
        assert harness.status["progress"]["percent"] == "23%"

    asyncio.run(life())


def test_a_restart_shows_no_speed_and_no_time_left(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        harness.succeed("reviews-prepare")
        await harness.settle()
        harness.operator.progress(
            "team-a", "reviews", message(step=5, totalSteps=100, etaSeconds=720, tokensPerSecond=9.0)
        )
        harness.fail("reviews-a1", exit_code=77)
        await harness.settle()
        assert harness.status["attempt"] == 2
        assert harness.status["progress"]["step"] == 5
        assert not harness.status["progress"].keys() & {"eta", "etaSeconds", "tokensPerSecond"}

    asyncio.run(life())
