"""Listeners of the training loop: the order of their calls, and what becomes of one that raises."""

from __future__ import annotations

import logging

import pytest

from tuneloop_trainer.training.listeners.listener import EndEvent, Listener, StartEvent
from tuneloop_trainer.training.listeners.listeners import Listeners

START = StartEvent(step=0, last=None, best=None)
END = EndEvent(step=10, metrics={"test": {"accuracy": 0.9}})


def recording(name: str, calls: list[str], *, essential: bool = False) -> Listener:
    return Listener(
        name=name,
        essential=essential,
        on_start=lambda _event: calls.append(f"{name} starts"),
        on_last_step=lambda step: calls.append(f"{name} has seen {step} steps"),
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
    assert calls == ["a starts", "b starts", "b has seen 10 steps", "a has seen 10 steps", "b ends", "a ends"]


def test_events_that_a_listener_does_not_take_are_ignored() -> None:
    listeners = Listeners([Listener(name="deaf")])
    listeners.on_start(START)
    listeners.on_save_failed("no space")
    listeners.on_end(END)


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
