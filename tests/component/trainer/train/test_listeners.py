"""Listeners of the training loop: the order of their calls, and what becomes of one that raises."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from prepared_runs import training_run, write_run
from ranks import run_ranks

from tuneloop_trainer.training.listeners.listener import EndEvent, Listener, StartEvent, StepEvent
from tuneloop_trainer.training.listeners.listeners import Listeners

START = StartEvent(step=0, last=None, best=None)
END = EndEvent(step=10, metrics={"test": {"accuracy": 0.9}})


def recording(name: str, calls: list[str], *, essential: bool = False) -> Listener:
    return Listener(
        name=name,
        essential=essential,
        on_start=lambda _event: calls.append(f"{name} starts"),
        on_last_step=lambda step: calls.append(f"{name} ends after {step} steps"),
        on_end=lambda _event: calls.append(f"{name} ends"),
    )


def failing(*, essential: bool) -> Listener:
    def fail(_event: object) -> None:
        raise ConnectionError("the tracking server is down")

    return Listener(name="tracker", essential=essential, on_start=fail, on_end=fail)


def test_listeners_are_called_in_order_and_in_reverse_order_at_the_end() -> None:
    calls: list[str] = []
    listeners = Listeners([recording("a", calls), recording("b", calls)])
    listeners.on_start(START)
    listeners.on_last_step(10)
    listeners.on_end(END)
    assert calls == ["a starts", "b starts", "b ends after 10 steps", "a ends after 10 steps", "b ends", "a ends"]


def test_events_that_a_listener_does_not_take_are_ignored() -> None:
    calls: list[str] = []
    listeners = Listeners([Listener(name="deaf"), recording("b", calls)])
    listeners.on_start(START)
    listeners.on_save_failed("no space")
    listeners.on_end(END)
    assert calls == ["b starts", "b ends"]


def test_a_tracker_that_raises_is_logged_once_and_left_out_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    listeners = Listeners([failing(essential=False), recording("b", calls)])
    listeners.on_start(START)
    listeners.on_end(END)
    assert calls == ["b starts", "b ends"]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == "tracker: it failed and is not used any more; training goes on"
    assert "the tracking server is down" in caplog.text


def test_an_error_of_an_essential_listener_ends_training() -> None:
    with pytest.raises(ConnectionError):
        Listeners([failing(essential=True)]).on_start(START)


def train_with_trackers(path: str) -> list:
    """Be the one rank of a run with three trackers: one records, one fails at its second step, one was not asked for."""
    from tuneloop_trainer.__main__ import main
    from tuneloop_trainer.training.listeners.listeners import TRACKERS

    calls: list[str] = []
    recorder = Listener(
        name="recorder",
        on_start=lambda event: calls.append(f"start after step {event.step}"),
        on_step=lambda event: calls.append(f"step {event.step} of epoch {event.epoch}"),
        on_evaluation=lambda event: calls.append(f"evaluation of {event.split}, {len(event.metrics)} metrics"),
        on_saved=lambda event: calls.append(f"save of step {event.saved.step}"),
        on_last_step=lambda step: calls.append(f"last step {step}"),
        on_end=lambda event: calls.append(f"end with metrics of {', '.join(event.metrics)}"),
    )

    def fail_at_step_2(event: StepEvent) -> None:
        calls.append("fails")
        if event.step == 2:
            raise ConnectionError("the tracking server is down")

    TRACKERS["recorder"] = lambda _run: recorder
    TRACKERS["failing"] = lambda _run: Listener(name="failing", on_step=fail_at_step_2)
    TRACKERS["not asked for"] = lambda _run: None
    os.environ["TUNELOOP_RANK_MESSAGE"] = f"{path}.message"
    return [main(["train", path]), calls]


def test_a_tracker_follows_a_run_and_one_that_fails_does_not_end_it(tmp_path, tiny_model, dataset) -> None:
    training = {"maxSteps": 3, "globalBatchSize": 300, "microBatchSize": 100, "evaluateEvery": {"steps": 2}}
    checkpoint = {"everySteps": 2, "asynchronous": False}
    config = training_run(tmp_path, model=tiny_model, dataset=dataset, training=training, checkpoint=checkpoint)
    path = write_run(config, tmp_path / "run.json")
    ((code, calls),) = run_ranks(Path(__file__), "train_with_trackers", world_size=1, path=str(path))
    assert code == 0
    assert [call for call in calls if call == "fails"] == ["fails", "fails"]
    assert [call for call in calls if call != "fails"] == [
        "start after step 0",
        "step 1 of epoch 1.0",
        "step 2 of epoch 2.0",
        "evaluation of validation, 4 metrics",
        "save of step 2",
        "step 3 of epoch 3.0",
        "evaluation of validation, 4 metrics",
        "save of step 3",
        "last step 3",
        "end with metrics of validation, test",
    ]
