"""The operator decides by the API server's clock: its own may be wrong by hours, or be set at any moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_operator.cluster.server_clock import ServerClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOURS = [pytest.param(timedelta(hours=hours), id=f"{hours:+} h") for hours in (-2, 0, 2)]


class Machine:
    """The machine of the operator and the API server's: `ahead` is by how much the clock of the first one is."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.passed, self.ahead = 0.0, ahead
        self.clock = ServerClock(elapsed=lambda: self.passed, wall=lambda: self.server_time + self.ahead)

    @property
    def server_time(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def ask(self, *, there: float = 0.0, back: float = 0.0) -> None:
        """Send a request that takes so many seconds to the API server, and its answer so many back."""
        sent = self.passed
        self.passed += there
        date = format_datetime(self.server_time, usegmt=True)
        self.passed += back
        self.clock.answered(date, sent=sent)

    @property
    def error(self) -> float:
        return (self.clock() - self.server_time).total_seconds()


def test_before_the_first_answer_it_is_the_clock_of_this_machine() -> None:
    assert Machine(timedelta(hours=2)).error == 7200.0


@pytest.mark.parametrize("ahead", HOURS)
def test_after_an_answer_it_is_the_clock_of_the_api_server(ahead: timedelta) -> None:
    machine = Machine(ahead)
    machine.passed = 0.7
    machine.ask()
    assert abs(machine.error) <= 1.0


@pytest.mark.parametrize("jump", HOURS)
def test_a_clock_of_this_machine_that_is_set_moves_nothing(jump: timedelta) -> None:
    machine = Machine()
    machine.ask()
    before = machine.error
    machine.ahead = jump
    machine.passed += 600.0
    assert machine.error == before


def test_a_clock_of_the_api_server_that_is_set_is_followed() -> None:
    machine = Machine()
    machine.ask()
    for hours in (2, -2):
        later = machine.server_time + timedelta(hours=hours)
        machine.clock.answered(format_datetime(later, usegmt=True), sent=machine.passed)
        assert abs((machine.clock() - later).total_seconds()) <= 1.0


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=40))
def test_it_is_wrong_by_no_more_than_the_fastest_answer_and_a_second(asked: list[tuple[float, float, float]]) -> None:
    machine = Machine(timedelta(hours=-2))
    for pause, there, back in asked:
        machine.passed += pause
        machine.ask(there=there, back=back)
        fastest = min(there + back for _, there, back in asked[: asked.index((pause, there, back)) + 1])
        assert abs(machine.error) <= 1.0 + fastest + 1e-4  # a datetime has microseconds


def test_answers_within_a_second_do_not_move_it_to_and_fro() -> None:
    machine = Machine()
    machine.ask()
    errors = []
    for _ in range(50):
        machine.passed += 0.37
        machine.ask(there=0.01, back=0.01)
        errors.append(machine.error)
    assert len({round(error, 4) for error in errors[10:]}) == 1


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 99 Jan 2026 12:00:00 GMT"])
def test_an_answer_without_a_readable_date_moves_nothing(date: str | None) -> None:
    machine = Machine()
    machine.ask()
    before = machine.error
    machine.clock.answered(date, sent=machine.passed)
    assert machine.error == before


def test_a_date_of_another_zone_is_the_same_moment() -> None:
    machine = Machine(timedelta(hours=2))
    east = machine.server_time.astimezone(timezone(timedelta(hours=2)))
    machine.clock.answered(format_datetime(east), sent=0.0)
    assert abs(machine.error) <= 1.0
