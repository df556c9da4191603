"""A save that fails does not end training, and the best weights so far are not lost with it."""

from __future__ import annotations

import pytest

from tuneloop_api.contract.results import SavedStep
from tuneloop_trainer.errors import SaveFailedError
from tuneloop_trainer.supervisor.heartbeat import Heartbeat
from tuneloop_trainer.training.checkpoint_saver import CheckpointSaver
from tuneloop_trainer.training.listeners.listener import Listener
from tuneloop_trainer.training.listeners.listeners import Listeners
from tuneloop_trainer.training.resume import TrainProgress
from tuneloop_trainer.training.selection import Best, Selection


class SaveRecorder:
    """A listener that records saves and the reasons of failed saves."""

    def __init__(self) -> None:
        self.saved: list[tuple[int, int | None]] = []
        self.reasons: list[str] = []

    def listeners(self) -> Listeners:
        def on_saved(event) -> None:
            assert event.save_seconds_p95 >= 0
            self.saved.append((event.saved.step, event.best.step if event.best else None))

        return Listeners(
            [Listener(name="recorder", on_saved=on_saved, on_save_failed=self.reasons.append, essential=True)]
        )


@pytest.fixture
def made(scripted):
    return scripted([0.4] * 20)


@pytest.fixture
def recorder() -> SaveRecorder:
    return SaveRecorder()


@pytest.fixture
def progress() -> TrainProgress:
    return TrainProgress()


@pytest.fixture
def saver(made, recorder, progress) -> CheckpointSaver:
    return CheckpointSaver(made.run, progress, listeners=recorder.listeners(), heartbeat=Heartbeat(None))


def at(progress: TrainProgress, step: int, *, best: int | None = None) -> None:
    progress.step = step
    if best is not None:
        steps = (best, *progress.selection.best_steps)
        progress.selection = Selection(best=Best(step=best, metric="loss", value=0.5), best_steps=steps)


def test_a_failed_save_is_reported_and_the_next_one_saves_its_own_step(made, recorder, progress, saver):
    made.checkpoints.fails = [5]
    at(progress, 5)
    saver.begin()
    saver.commit()
    assert recorder.reasons == ["no space for step 5"]
    assert not saver.due(10), "the next try waits a while"
    at(progress, 6)
    saver.begin()
    saver.commit()
    assert made.checkpoints.calls == ["begin 5", "fail 5", "begin 6", "commit 6"]
    assert recorder.saved == [(6, None)]
    assert progress.last.step == 6


def test_the_copy_of_the_best_weights_is_written_again_before_a_new_one_is_made(made, recorder, progress, saver):
    made.checkpoints.fails = [5]
    at(progress, 5, best=5)
    saver.begin()
    at(progress, 6)
    saver.begin()
    saver.commit()
    assert made.checkpoints.calls == ["begin 5", "fail 5", "begin again 5", "commit 5"]
    assert progress.best == SavedStep(step=5, path="step-5", time="now", metric="loss", value=0.5)
    assert recorder.saved == [(5, 5)]


def test_better_weights_take_the_place_of_a_best_that_was_not_saved(made, progress, saver):
    made.checkpoints.fails = [5]
    at(progress, 5, best=5)
    saver.begin()
    saver.commit()
    at(progress, 6, best=6)
    saver.begin()
    saver.commit()
    assert made.checkpoints.calls == ["begin 5", "fail 5", "begin 6", "commit 6"]
    assert progress.best.step == 6


def test_before_leaving_the_best_weights_and_this_step_are_saved(made, progress, saver):
    made.checkpoints.fails = [5]
    at(progress, 5, best=5)
    saver.begin()
    at(progress, 7)
    saver.save_now()
    assert made.checkpoints.calls == ["begin 5", "fail 5", "begin again 5", "commit 5", "begin 7", "commit 7", "close"]
    assert (progress.last.step, progress.best.step) == (7, 5)


def test_a_save_before_leaving_that_fails_is_an_error(made, recorder, progress, saver):
    made.checkpoints.fails = [5]
    at(progress, 5)
    with pytest.raises(SaveFailedError, match="no space for step 5"):
        saver.save_now()
    assert recorder.reasons == []


def test_a_step_that_is_saved_is_not_saved_again_but_may_become_the_best(made, progress, saver):
    at(progress, 5)
    saver.begin()
    saver.commit()
    at(progress, 5, best=5)
    saver.save_now()
    assert made.checkpoints.calls == ["begin 5", "commit 5", "close"]
    assert (progress.best.step, progress.best.value) == (5, 0.5)


def test_old_checkpoints_are_removed_by_the_settings(scripted, recorder, progress):
    made = scripted([0.4] * 20, checkpoint={"everySteps": 5, "keepLast": 3, "keepBest": 2})
    saver = CheckpointSaver(made.run, progress, listeners=recorder.listeners(), heartbeat=Heartbeat(None))
    at(progress, 5, best=5)
    saver.begin()
    saver.commit()
    assert made.checkpoints.kept == [{"last": 3, "best": 2, "best_steps": (5,)}]


def test_a_save_in_step_with_training_is_committed_at_once(scripted, recorder, progress):
    made = scripted([0.4] * 20, checkpoint={"everySteps": 5, "asynchronous": False})
    saver = CheckpointSaver(made.run, progress, listeners=recorder.listeners(), heartbeat=Heartbeat(None))
    at(progress, 5)
    saver.begin()
    assert made.checkpoints.calls == ["begin 5", "commit 5"]
    assert not saver.ready
    assert made.checkpoints.states[5].data == {"epoch": 0, "stepOfEpoch": 5}


def test_the_clock_of_a_save_starts_with_its_begin(made, progress, saver):
    assert [step for step in range(1, 11) if saver.due(step)] == [5, 10]
    at(progress, 5)
    assert not saver.ready
    saver.begin()
    assert saver.ready
    assert saver.times.p95() is None
    saver.commit()
    assert 0 <= saver.times.p95() < 60
    saver.commit()
    assert made.checkpoints.calls == ["begin 5", "commit 5"], "there is nothing left to commit"
