"""What the training loop decides without torch: learning rate, intervals, selection, speed, the log."""

import json
import math

import pytest
from file_limits import no_file_grows_beyond
from hypothesis import given
from hypothesis import strategies as st
from log_records import messages_of

from tuneloop_api.contract.settings import (
    CheckpointSettings,
    EarlyStoppingSettings,
    EvaluateEverySettings,
    TrainingSettings,
)
from tuneloop_trainer.training.intervals import SaveAndEvalIntervals, SaveTimes, planned_seconds
from tuneloop_trainer.training.listeners.train_log import TrainLog
from tuneloop_trainer.training.lr_schedule import Schedule, learning_rate
from tuneloop_trainer.training.selection import Selection
from tuneloop_trainer.training.speed import Speed

TRAIN_LOG = "tuneloop_trainer.training.listeners.train_log"


def rates(scheduler: str, *, warmup: int, total: int) -> list[float]:
    schedule = Schedule(scheduler=scheduler, peak=1.0, warmup_steps=warmup, total_steps=total)
    return [learning_rate(schedule, step) for step in range(total)]


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        pytest.param("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25], id="linear falls to one step above zero"),
        pytest.param("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0], id="constant stays"),
        pytest.param("wsd", [0.5, 1.0, 1.0, 1.0, 1.0, 0.5], id="wsd falls in the last fifth"),
        pytest.param(
            "cosine",
            [0.5, 1.0, 1.0, *(0.5 * (1 + math.cos(math.pi * k / 4)) for k in (1, 2, 3))],
            id="cosine is half a wave",
        ),
    ],
)
def test_the_schedule_of_the_learning_rate(scheduler, expected):
    assert rates(scheduler, warmup=2, total=6) == pytest.approx(expected)


@given(
    st.sampled_from(["linear", "cosine", "constant", "wsd"]), st.integers(0, 50), st.integers(1, 50), st.floats(1e-6, 1)
)
def test_a_learning_rate_is_never_zero_and_never_above_the_peak(scheduler, warmup, total, peak):
    schedule = Schedule(scheduler=scheduler, peak=peak, warmup_steps=warmup, total_steps=total)
    found = [learning_rate(schedule, step) for step in range(total)]
    assert all(0 < rate <= peak for rate in found)
    assert found[:warmup] == sorted(found[:warmup])
    assert found[warmup:] == sorted(found[warmup:], reverse=True)


@pytest.mark.parametrize(
    ("every", "due"),
    [
        pytest.param({"steps": 4}, [4, 8, 10], id="steps, and the end"),
        pytest.param({"epochs": 1.0}, [5, 10], id="epochs"),
        pytest.param({"epochs": 0.5}, [3, 5, 8, 10], id="a fraction that does not fall on a step"),
        pytest.param({"epochs": 0.1}, list(range(1, 11)), id="more often than there are steps"),
        pytest.param({"epochs": 7.0}, [10], id="only at the end"),
    ],
)
def test_when_the_validation_split_is_measured(every, due):
    intervals = SaveAndEvalIntervals(
        evaluate_every=EvaluateEverySettings(**every),
        checkpoint=CheckpointSettings(every_steps=5),
        steps_per_epoch=5,
        total_steps=10,
    )
    assert [step for step in range(11) if intervals.evaluation_due(step)] == due


def test_when_progress_is_saved():
    def intervals(**every):
        settings = CheckpointSettings(**every)
        return SaveAndEvalIntervals(
            evaluate_every=EvaluateEverySettings(epochs=1.0), checkpoint=settings, steps_per_epoch=5, total_steps=10
        )

    assert [
        step for step in range(1, 11) if intervals(every_steps=3).save_due(step, seconds_since_save=1e9, planned=1.0)
    ] == [3, 6, 9]
    assert not intervals(every_seconds=60).save_due(3, seconds_since_save=59.9, planned=1.0)
    assert intervals(every_seconds=60).save_due(3, seconds_since_save=60.0, planned=99.0)
    assert not intervals().save_due(3, seconds_since_save=29.9, planned=30.0)
    assert intervals().save_due(3, seconds_since_save=30.0, planned=30.0)
    assert not intervals(every_steps=3).save_due(3, seconds_since_save=99.0, planned=1.0, seconds_since_failure=9.0)
    assert intervals(every_steps=3).save_due(3, seconds_since_save=99.0, planned=1.0, seconds_since_failure=10.0)


@pytest.mark.parametrize(
    ("blocking", "saving", "planned"),
    [
        pytest.param(0.3, 5.0, 30.0, id="training waits a hundredth of the time"),
        pytest.param(0.001, 0.1, 10.0, id="never more often than each ten seconds"),
        pytest.param(20.0, 30.0, 900.0, id="never less often than each quarter of an hour"),
        pytest.param(0.1, 40.0, 40.0, id="a save is over before the next begins"),
    ],
)
def test_the_time_between_saves_is_planned_from_what_they_cost(blocking, saving, planned):
    assert planned_seconds(blocking=blocking, saving=saving) == pytest.approx(planned)


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_planned_saves_make_training_wait_for_at_most_a_hundredth_of_the_time(blocking, saving):
    planned = planned_seconds(blocking=blocking, saving=saving)
    assert 10 <= planned <= 900
    assert planned == 900 or blocking <= 0.01 * planned * (1 + 1e-9)


def test_what_saves_took_gives_the_next_plan_and_the_slow_ones():
    times = SaveTimes()
    assert (times.planned_seconds(), times.p95()) == (10.0, None)
    for saving in range(1, 101):
        times.add(blocking=0.2, saving=float(saving) / 10)
    times.add(blocking=60.0, saving=1.0)  # one hiccup does not change the intervals
    assert times.planned_seconds() == pytest.approx(20.0)
    assert times.p95() == 9.5


def selected(values, **training) -> Selection:
    settings = TrainingSettings(epochs=1.0, **training)
    selection = Selection()
    for step, value in enumerate(values, 1):
        metrics = {"loss": value, "accuracy": value, "macro_f1": 0.0, "mcc": 0.0}
        selection = selection.with_evaluation(step, metrics, settings)
    return selection


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [("loss", [3, 1, 2], 2), ("accuracy", [0.5, 0.7, 0.6], 2), ("accuracy", [0.7, 0.7], 1), ("loss", [1, 1], 1)],
)
def test_the_best_evaluation_is_kept_and_a_tie_keeps_the_earlier(metric, values, best):
    assert selected(values, best_metric=metric).best.step == best


def test_earlier_bests_are_remembered_best_first():
    assert selected([0.5, 0.7, 0.6, 0.8], best_metric="accuracy").best_steps == (4, 2, 1)


@pytest.mark.parametrize(
    ("values", "stopping", "stops"),
    [
        pytest.param([3, 2, 2, 2], {"patience": 2}, True, id="no improvement twice"),
        pytest.param([3, 2, 2, 1, 1], {"patience": 2}, False, id="an improvement resets the count"),
        pytest.param([3.0, 2.99, 2.98], {"patience": 2, "min_delta": 0.1}, True, id="too small a change is none"),
        pytest.param([3, 2.8, 2.6], {"patience": 1, "min_delta": 0.1}, False, id="large enough changes"),
        pytest.param(
            [0.5, 0.4, 0.3], {"patience": 2, "metric": "accuracy"}, True, id="another metric, where less is worse"
        ),
    ],
)
def test_early_stopping(values, stopping, stops):
    settings = TrainingSettings(epochs=1.0, early_stopping=EarlyStoppingSettings(**stopping))
    selection = selected(values, early_stopping=settings.early_stopping)
    assert selection.stops(settings) is stops


def test_speed_looks_at_the_last_steps_only():
    speed = Speed()
    for _ in range(50):
        speed.add(seconds=10.0, tokens=10)
    for _ in range(50):
        speed.add(seconds=0.5, tokens=100)
    assert (speed.tokens_per_second(), speed.seconds_for(10), speed.slow_step_seconds()) == (200.0, 5.0, 0.5)
    assert speed.average_tokens_per_second() == pytest.approx(5500 / 525)


def test_a_log_keeps_what_was_found_at_the_evaluations_that_stay(tmp_path):
    log = TrainLog(tmp_path / "train.jsonl", step=0, evaluated_step=-1)
    for step in (10, 20):
        log.write(kind="finding", step=step, name="InputBound")
    log.close()
    kept = TrainLog(tmp_path / "train.jsonl", step=25, evaluated_step=10)
    assert [line["step"] for line in kept.lines()] == [10]
    kept.close()


def test_a_log_is_one_clean_curve_over_restarts(tmp_path):
    path = tmp_path / "logs" / "train.jsonl"
    log = TrainLog(path, step=0, evaluated_step=-1)
    for step in range(1, 6):
        log.write(kind="step", step=step, loss=0.1 + 0.2)
        log.write(kind="evaluation", step=step, loss=0.0)
    log.close()
    with path.open("a") as file:
        file.write('{"kind": "step", "st')
    TrainLog(path, step=3, evaluated_step=2).close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in lines] == [
        ("step", 1),
        ("evaluation", 1),
        ("step", 2),
        ("evaluation", 2),
        ("step", 3),
    ]
    assert lines[0]["loss"] == 0.1 + 0.2


@pytest.fixture
def cut_short(tmp_path):
    """A log that a full disk has cut in the middle of the line of step 3."""
    path = tmp_path / "train.jsonl"
    log = TrainLog(path, step=0, evaluated_step=-1)
    write_steps(log, 1, 2)
    with no_file_grows_beyond(path.stat().st_size + 10):
        write_steps(log, 3, 4)
    assert path.read_text().endswith('\n{"kind": "')
    return log


def write_steps(log: TrainLog, *steps: int) -> None:
    for step in steps:
        log.write(kind="step", step=step, loss=0.5)


def steps_in(log: TrainLog) -> list[int]:
    return [line["step"] for line in log.lines()]


def test_a_log_is_whole_again_once_a_full_disk_has_space(cut_short):
    write_steps(cut_short, 5)
    assert steps_in(cut_short) == [1, 2, 3, 4, 5]
    cut_short.close()


def test_what_a_full_disk_kept_out_of_the_log_is_written_at_the_latest_when_it_is_closed(cut_short):
    cut_short.close()
    assert steps_in(cut_short) == [1, 2, 3, 4]


def test_a_line_that_a_full_disk_cut_short_is_not_there_for_the_next_attempt(cut_short, tmp_path):
    after = TrainLog(tmp_path / "train.jsonl", step=4, evaluated_step=-1)
    assert steps_in(after) == [1, 2]
    after.close()


def test_a_full_disk_is_logged_once_until_there_is_space_again(tmp_path):
    path = tmp_path / "train.jsonl"
    log = TrainLog(path, step=0, evaluated_step=-1)
    with messages_of(TRAIN_LOG) as messages:
        for stretch in (1, 2):
            with no_file_grows_beyond(path.stat().st_size):
                write_steps(log, 1, 2)
            assert [f"{path}: File too large" in text for text in messages] == [True] * stretch
            write_steps(log, 3)
        log.close()


def test_a_disk_that_is_full_to_the_end_does_not_end_training_when_the_log_is_closed(tmp_path):
    log = TrainLog(tmp_path / "train.jsonl", step=0, evaluated_step=-1)
    with no_file_grows_beyond(0), messages_of(TRAIN_LOG) as messages:
        write_steps(log, 1)
        log.close()
    assert steps_in(log) == []
    assert "train.jsonl: File too large; its last lines may be missing" in messages[-1]
