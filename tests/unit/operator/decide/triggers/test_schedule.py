"""A schedule: its times in its zone, changes of the clock, and times that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from trigger_walks import BEGAN, DAY, FIRING, HOUR, INACTIVE, MINUTE, UNKNOWN, Walk, trigger

from tuneloop_operator.decide.model_deployment.retraining.triggers.accept import trigger_refusals
from tuneloop_operator.decide.model_deployment.retraining.triggers.schedule import newest_slot, seconds_to_look

DAILY = trigger("schedule", schedule="30 2 * * *")
IN_BERLIN = {"timeZone": "Europe/Berlin"}
TO_SLOT = 14 * HOUR + 30 * MINUTE
"""From the begin of a walk (12:00) to the next 02:30."""


def slots(begin: datetime, end: datetime, **fields: str) -> list[str]:
    """Return the times that a look each minute finds."""
    spec, found = trigger("schedule", **fields), []
    while begin < end:
        slot = newest_slot(spec, begin)
        assert slot is not None
        found.append(f"{slot:%d %H:%M}")
        begin += timedelta(minutes=1)
    return sorted({*found[1:]} - {found[0]})


def test_a_time_that_comes_fires_until_a_run_answers_it():
    walk = Walk(DAILY)
    assert walk.states([(0, 0), (TO_SLOT - 1, 0)]) == [INACTIVE, INACTIVE]
    key = walk.look(TO_SLOT).key
    assert walk.look(TO_SLOT + 30).state is FIRING
    assert walk.look(TO_SLOT + 60, handled=frozenset({key})).state is INACTIVE
    assert walk.look(TO_SLOT + DAY).key not in {"", key}


def test_the_time_before_the_first_look_asks_for_nothing():
    walk = Walk(DAILY)
    assert walk.look(TO_SLOT + MINUTE).state is INACTIVE


@pytest.mark.parametrize(("late", "state"), [(HOUR, FIRING), (HOUR + 1, INACTIVE)])
def test_a_missed_time_fires_within_its_deadline(late, state):
    walk = Walk(DAILY)
    walk.look(0)
    assert walk.look(TO_SLOT + late).state is state


def test_of_three_missed_times_the_newest_fires_once():
    walk = Walk(DAILY)
    walk.look(0)
    key = walk.look(TO_SLOT + 2 * DAY + MINUTE).key
    assert key
    after = [walk.look(TO_SLOT + 2 * DAY + MINUTE * n, handled=frozenset({key})).state for n in range(2, 120)]
    assert {*after} == {INACTIVE}


def test_a_deadline_of_the_spec_counts_and_is_a_minute_at_least():
    walk = Walk(trigger("schedule", schedule="30 2 * * *", startingDeadline="10s"))
    walk.look(0)
    assert walk.look(TO_SLOT + 60).state is FIRING
    assert walk.look(TO_SLOT + 61).state is INACTIVE


def test_a_clock_that_goes_back_fires_nothing_and_the_same_time_has_the_same_key():
    walk = Walk(DAILY)
    walk.look(0)
    key = walk.look(TO_SLOT + 10).key
    assert walk.look(TO_SLOT - 10).state is INACTIVE
    assert walk.look(TO_SLOT).key == key


def test_a_clock_that_was_a_month_ahead_loses_no_time_afterwards():
    walk = Walk(DAILY)
    walk.look(0)
    key = walk.look(TO_SLOT + 30 * DAY).key
    assert walk.look(60, handled=frozenset({key})).state is INACTIVE
    assert walk.look(TO_SLOT).key not in {"", key}


def test_another_revision_does_not_lose_a_time():
    walk = Walk(DAILY)
    walk.look(0)
    assert walk.look(TO_SLOT, revision="00000000").state is FIRING


@pytest.mark.parametrize(("schedule", "zone", "begin", "expected"), [
    pytest.param("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC), ["29 01:00"], id="left out: right after the change"),
    pytest.param("30 2 * * *", "Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC), ["25 00:30"], id="repeated: once"),
    pytest.param("30 2 * * *", "Europe/Berlin", datetime(2026, 7, 1, tzinfo=UTC), ["01 00:30"], id="summer"),
    pytest.param("30 2 * * *", "Etc/UTC", datetime(2026, 3, 29, tzinfo=UTC), ["29 02:30"], id="no change in UTC"),
    pytest.param("0 0 * * *", "Pacific/Apia", datetime(2026, 7, 1, tzinfo=UTC), ["01 11:00"], id="far from UTC"),
])  # fmt: skip
def test_a_change_of_the_clock_neither_loses_nor_doubles_a_time(schedule, zone, begin, expected):
    assert slots(begin, begin + timedelta(hours=23), schedule=schedule, timeZone=zone) == expected


def test_the_thirtieth_of_february_never_comes():
    assert Walk(trigger("schedule", schedule="0 0 30 2 *")).look(0).state is UNKNOWN


@pytest.mark.parametrize(("fields", "field"), [
    ({"type": "schedule", "schedule": "61 2 * * *"}, "spec.retraining.triggers[0].schedule"),
    ({"type": "schedule", "schedule": "0 0 30 2 *"}, "spec.retraining.triggers[0].schedule"),
    ({"type": "schedule", "schedule": "0 0 * * *", "timeZone": "Europe/Atlantis"}, "spec.retraining.triggers[0].timeZone"),
    ({"type": "promql", "query": "sum(a[5m)", "threshold": 1}, "spec.retraining.triggers[0].query"),
])  # fmt: skip
def test_acceptance_names_what_the_api_server_cannot_check(fields, field):
    (refusal,) = trigger_refusals([trigger(fields["type"], **fields)])
    assert refusal.field == field
    assert refusal.example


def test_acceptance_takes_what_works():
    given = [
        DAILY,
        trigger("schedule", schedule="*/5 8-18 * * MON-FRI", **IN_BERLIN),
        trigger("promql", query="a", threshold=1),
    ]
    assert [*trigger_refusals(given)] == []


def test_the_first_look_is_not_after_the_begin():
    assert newest_slot(DAILY, BEGAN) == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
    assert newest_slot(DAILY, datetime(2026, 3, 2, 2, 30, 0, 500, tzinfo=UTC)) == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)  # fmt: skip


@pytest.mark.parametrize("schedule", ["30 2 * * *", "*/7 2 * * *", "0 0 * * 0"])
@pytest.mark.parametrize("day", [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)], ids=str)
def test_who_sleeps_between_looks_misses_no_time(day: datetime, schedule: str):
    fields = IN_BERLIN | {"schedule": schedule}
    end, now, found, looks = day + timedelta(days=3), day, [], 0
    while now < end:
        found.append(f"{newest_slot(trigger('schedule', **fields), now):%d %H:%M}")
        now += timedelta(seconds=seconds_to_look(trigger("schedule", **fields), now))
        looks += 1
    assert sorted({*found} - {found[0]}) == slots(day, end, **fields)
    assert looks <= 3 * (24 * 6 + 20)


def test_a_look_comes_when_a_time_is_missed_for_good():
    spec = trigger("schedule", schedule="30 2 * * *", startingDeadline="3m")
    slot = BEGAN + timedelta(seconds=TO_SLOT)
    assert seconds_to_look(spec, slot + timedelta(seconds=60)) == 121.0
    assert seconds_to_look(spec, slot + timedelta(seconds=181)) == 600.0
