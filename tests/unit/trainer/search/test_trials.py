"""What follows from the trials on record."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tuneloop_api.contract.results import SavedStep, TrainSummary
from tuneloop_api.contract.search import Evaluated, Trial
from tuneloop_trainer.errors import CheckpointLostError, ConfigError, NonFiniteLossError, StorageError
from tuneloop_trainer.training.search.journal import Journal, check_record
from tuneloop_trainer.training.search.reporter import TrialReporter
from tuneloop_trainer.training.search.trial_run import micro_batch_within
from tuneloop_trainer.training.search.trials import (
    best_of,
    ended_trial,
    nothing_to_publish,
    over_all,
    resumed,
    running,
    steps_of,
    summary_of,
    without_checkpoints,
)
from tuneloop_trainer.training.selection import Best, Selection


def trial(number: int, state: str = "Complete", value: float | None = None, **fields) -> Trial:
    return Trial(number=number, parameters={"method.rank": number}, state=state, value=value, **fields)


def points(*pairs: tuple[int, float]) -> list[Evaluated]:
    return [Evaluated(step=step, value=value) for step, value in pairs]


@pytest.mark.parametrize(
    ("metric", "trials", "best"),
    [
        ("accuracy", [], None),
        ("accuracy", [trial(1, "Pruned", 0.9), trial(2, "Running"), trial(3, "Diverged")], None),
        ("accuracy", [trial(1, value=0.7), trial(2, value=0.8)], 2),
        ("accuracy", [trial(1, value=0.8), trial(2, value=0.8)], 1),
        ("loss", [trial(1, value=0.7), trial(2, value=0.8)], 1),
        ("loss", [trial(1, value=0.7), trial(2, value=0.0)], 2),
    ],
)
def test_the_best_is_the_first_complete_trial_with_the_best_value(metric, trials, best):
    found = best_of(trials, metric)
    assert (found and found.number) == best


def test_checkpoints_are_kept_of_the_best_and_the_running_trial_alone():
    trials = [trial(1, value=0.6), trial(2, value=0.9), trial(3, "Pruned"), trial(4, value=0.8), trial(5, "Running")]
    assert without_checkpoints(trials, "accuracy") == [1, 3, 4]
    assert without_checkpoints(trials[2:3], "accuracy") == [3]


def test_the_summary_counts_trials_that_ended():
    trials = [trial(1, value=0.6), trial(2, "Pruned"), trial(3, "Running")]
    found = summary_of(trials, total=20, metric="accuracy")
    assert (found.trials, found.total, found.pruned, found.best, found.value) == (2, 20, 1, 1, 0.6)
    assert found.parameters == {"method.rank": 1}
    assert summary_of([], total=20, metric="accuracy").best is None


def test_steps_are_counted_over_the_trials_before():
    trials = [trial(1, value=0.6, steps=30), trial(2, "Pruned", steps=7), trial(3, "Running", steps=4)]
    assert [steps_of(trials, before=number) for number in (1, 2, 3, 4)] == [0, 30, 37, 41]


def test_a_trial_is_resumed_only_while_it_runs():
    assert running([trial(1, value=0.5)]) is None
    assert running([]) is None
    assert running([trial(1, value=0.5), trial(2, "Running")]).number == 2


def test_evaluations_after_the_step_of_the_checkpoint_are_made_again():
    found = resumed(
        trial(1, "Running", evaluations=points((5, 0.1), (10, 0.2), (15, 0.3)), steps=15), step=10, total_steps=30
    )
    assert (found.evaluations, found.steps, found.total_steps) == (points((5, 0.1), (10, 0.2)), 10, 30)


BEST = Selection(best=Best(step=10, metric="accuracy", value=0.8), evaluated_step=15)


@pytest.mark.parametrize(
    ("reason", "is_pruned", "publishes_best", "expected"),
    [
        (None, False, True, ("Complete", 0.8, 10)),
        (None, False, False, ("Complete", 0.7, 15)),
        (None, True, True, ("Pruned", None, None)),
        ("the loss of step 15 is nan", False, True, ("Diverged", None, None)),
    ],
)
def test_how_a_trial_ends(reason, is_pruned, publishes_best, expected):
    begun = trial(1, "Running", evaluations=points((10, 0.8), (15, 0.7)))
    progress = SimpleNamespace(step=15, selection=BEST)
    found = ended_trial(begun, progress, reason=reason, is_pruned=is_pruned, publishes_best=publishes_best)
    assert ((found.state, found.value, found.step), found.steps, found.reason) == (expected, 15, reason)


def test_a_search_without_a_complete_trial_says_what_went_wrong():
    diverged, refused = trial(1, "Diverged", reason="the loss of step 3 is nan"), trial(2, "Refused", reason="too wide")
    found = nothing_to_publish([diverged, refused])
    assert isinstance(found, NonFiniteLossError)
    assert "1 diverged, 1 were refused; trial 1: the loss of step 3 is nan" in found.message
    assert isinstance(nothing_to_publish([refused]), ConfigError)


def test_a_summary_counts_steps_and_checkpoints_over_all_trials():
    saved = SavedStep(step=10, path="/job/trials/0002/checkpoints/step-00000010-a1")
    found = over_all(TrainSummary(start_step=0, steps=12, world_size=2, last=saved), steps_before=30, start_step=25)
    assert (found.start_step, found.steps, found.last.step, found.best) == (25, 42, 40, None)
    assert over_all(None, steps_before=30, start_step=0) is None


@pytest.mark.parametrize(
    ("planned", "most", "rows"), [(16, None, 16), (16, 8, 8), (12, 8, 6), (15, 4, 3), (7, 4, 1), (8, 100, 8)]
)
def test_a_micro_batch_within_a_limit_divides_the_planned_one(planned, most, rows):
    assert micro_batch_within(planned, most=most) == rows


def test_a_reporter_shows_one_progress_over_all_trials():
    posts: list[dict] = []
    trials = [
        trial(1, value=0.6, steps=30, seconds=60.0),
        trial(2, "Pruned", steps=10, seconds=20.0),
        trial(3, "Running"),
    ]
    reporter = TrialReporter(
        SimpleNamespace(post=lambda **fields: posts.append(fields)),
        summary=summary_of(trials, total=5, metric="accuracy"),
        finished=trials[:2],
        left=2,
        start_step=35,
    )
    latest = SavedStep(step=5, path="/a")
    reporter.post(detail="training", step=6, start_step=0, total_steps=30, fraction=0.2, eta_seconds=24, latest=latest)
    (post,) = posts
    assert (post["step"], post["total_steps"], post["start_step"]) == (46, 130, 35)
    assert post["fraction"] == pytest.approx(46 / 130)
    assert post["eta_seconds"] == 24 + 2 * 40
    assert post["latest"].step == 45
    assert (post["search"].trials, post["search"].total, post["search"].best) == (2, 5, 1)


def test_a_record_is_read_as_it_was_written(tmp_path):
    journal = Journal(tmp_path, identity="abc", attempt=1)
    journal.write(trial(1, "Running"))
    journal.write(trial(1, value=0.1 + 0.2))
    journal.write(trial(2, "Running", evaluations=points((5, 1 / 3))))
    again = Journal(tmp_path, identity="abc", attempt=2)
    assert again.trials == [trial(1, value=0.1 + 0.2), trial(2, "Running", evaluations=points((5, 1 / 3)))]


def test_an_attempt_that_was_replaced_writes_nothing_more(tmp_path):
    old = Journal(tmp_path, identity="abc", attempt=1)
    Journal(tmp_path, identity="abc", attempt=2).write(trial(1, "Running"))
    with pytest.raises(StorageError, match="attempt 2 has started"):
        old.write(trial(1, value=0.9))
    assert Journal(tmp_path, identity="abc", attempt=2).trials == [trial(1, "Running")]


@pytest.mark.parametrize(
    "damage",
    [lambda text: text[:-40], lambda text: text.replace('"value": 0.9', '"value": 0.8'), lambda _: "[]"],
    ids=["cut", "changed", "another file"],
)
def test_a_damaged_record_is_an_error_and_no_fresh_start(tmp_path, damage):
    Journal(tmp_path, identity="abc", attempt=1).write(trial(1, value=0.9))
    path = tmp_path / "search.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(StorageError, match="is not what was written"):
        Journal(tmp_path, identity="abc", attempt=1)


def test_only_the_checkpoints_of_a_trial_are_removed(tmp_path):
    journal = Journal(tmp_path, identity="abc", attempt=1)
    for name in ("0001/checkpoints/step-00000005-a1", "0001/logs", "0002/checkpoints"):
        (tmp_path / "trials" / name).mkdir(parents=True)
    journal.remove_checkpoints([1, 3])
    left = {path.relative_to(tmp_path / "trials").as_posix() for path in (tmp_path / "trials").glob("*/*")}
    assert left == {"0001/logs", "0002/checkpoints"}


@pytest.mark.parametrize(
    ("found", "is_empty", "expected_step", "error"),
    [
        ("abc", True, None, None),
        ("abc", False, 40, None),
        ("abc", True, 40, CheckpointLostError),
        ("xyz", False, None, ConfigError),
    ],
)
def test_a_record_of_another_job_or_a_lost_one_is_refused(tmp_path, found, is_empty, expected_step, error):
    def check() -> None:
        check_record(tmp_path, found=found, identity="abc", is_empty=is_empty, expected_step=expected_step)

    if error is None:
        check()
    else:
        with pytest.raises(error):
            check()
