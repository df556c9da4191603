"""A query of a user: how long its number must be beyond the threshold, and back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from trigger_walks import (
    BEGAN,
    DAY,
    ERROR,
    FIRING,
    HOUR,
    INACTIVE,
    MINUTE,
    NO_DATA,
    PENDING,
    PROMQL,
    UNKNOWN,
    Walk,
    every,
    readings,
    trigger,
)

from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import judged, queries_of

HIGH, LOW = 11.0, 9.0


def fired() -> Walk:
    walk = Walk(PROMQL)
    walk.states(every(30, HIGH, end=HOUR))
    return walk


def test_the_names_of_the_deployment_stand_in_the_query():
    spec = trigger("promql", query='sum(a{n="{{namespace}}",d="{{deployment}}",r=~"{{revision}}"})', threshold=1)
    (asked,) = queries_of(spec, Walk(spec).about, now=BEGAN)
    assert asked.query == 'sum(a{n="team",d="reviews",r=~"7d1f0b2c"})'


def test_a_query_that_acceptance_refuses_is_not_asked_and_the_trigger_says_why():
    walk = Walk(trigger("promql", query='sum(a{n="{{pod}}"})', threshold=1))
    assert queries_of(walk.spec, walk.about, now=BEGAN) == ()
    assert "{{pod}}" in walk.look(0).reason


def test_a_number_beyond_the_threshold_for_an_hour_fires():
    states = Walk(PROMQL).states(every(30, HIGH, end=HOUR))
    assert states == [PENDING] * 120 + [FIRING]


def test_the_threshold_itself_is_not_beyond():
    assert Walk(PROMQL).look(0, 10.0).state is INACTIVE


def test_one_number_that_is_back_begins_the_hour_anew():
    walk = Walk(PROMQL)
    walk.states([*every(30, HIGH, end=HOUR - 30), (HOUR - 15, LOW)])
    assert walk.states(every(30, HIGH, begin=HOUR, end=2 * HOUR)) == [PENDING] * 120 + [FIRING]


def test_a_number_that_flaps_at_one_hertz_for_ten_minutes_never_fires():
    walk = Walk(trigger("promql", query="sum(a)", threshold=10, **{"for": "5m"}))
    states = walk.states([(second, HIGH if second % 2 else LOW) for second in range(10 * MINUTE)])
    assert FIRING not in states


def test_a_number_that_flaps_keeps_no_more_than_the_row_in_memory():
    walk = Walk(PROMQL)
    walk.look(0, LOW)
    at_rest = walk.memory
    walk.states([(30, HIGH), (60, LOW)])
    assert walk.memory is not None
    assert at_rest is not None
    assert (walk.memory.read_at, walk.memory.beyond_since) == (None, None)


def test_a_trigger_at_rest_changes_no_status():
    walk = Walk(PROMQL)
    walk.look(0, LOW)
    before = walk.memory
    walk.states(every(30, LOW, begin=30, end=DAY))
    assert walk.memory == before


@pytest.mark.parametrize("missing", [NO_DATA, ERROR])
def test_without_an_answer_a_trigger_is_unknown_and_goes_on_after_one_lost_answer(missing):
    walk = Walk(PROMQL)
    walk.states(every(30, HIGH, end=HOUR / 2))
    assert walk.look(HOUR / 2 + 30, missing).state is UNKNOWN
    assert walk.states(every(30, HIGH, begin=HOUR / 2 + 60, end=HOUR))[-1] is FIRING


def test_a_gap_in_which_nobody_looked_begins_the_hour_anew():
    walk = Walk(PROMQL)
    walk.states(every(30, HIGH, end=HOUR / 2))
    assert walk.states(every(30, HIGH, begin=HOUR / 2 + 181, end=HOUR + 300))[-1] is PENDING


def test_a_clock_that_goes_back_fires_nothing():
    walk = Walk(PROMQL)
    walk.states(every(30, HIGH, end=50 * MINUTE))
    assert walk.states(every(30, HIGH, begin=-DAY, end=-DAY + 30 * MINUTE))[-1] is PENDING


def test_a_clock_that_goes_back_a_little_begins_the_hour_anew():
    walk = Walk(PROMQL)
    walk.states(every(30, HIGH, end=50 * MINUTE))
    assert walk.states(every(30, HIGH, begin=30 * MINUTE, end=89 * MINUTE))[-1] is PENDING


def test_a_clock_that_goes_forward_fires_nothing():
    walk = Walk(PROMQL)
    walk.look(0, HIGH)
    assert walk.look(DAY, HIGH).state is PENDING


def test_an_answer_that_is_old_is_no_answer():
    walk = Walk(PROMQL)
    walk.states(every(30, HIGH, end=HOUR - 30))
    old = readings(PROMQL, HIGH, BEGAN + timedelta(seconds=HOUR))
    found = judged(PROMQL, walk.memory, old, walk.about, now=BEGAN + timedelta(seconds=HOUR + 181))
    assert found.verdict.state is UNKNOWN


def test_a_trigger_that_fires_is_over_when_its_number_was_back_for_two_hours():
    states = fired().states(every(30, LOW, begin=HOUR + 30, end=3 * HOUR + 30))
    assert states == [FIRING] * 240 + [INACTIVE]


def test_between_the_thresholds_a_trigger_stays_what_it_is():
    spec = trigger("promql", query="sum(a)", threshold=10, clearThreshold=5)
    walk = Walk(spec)
    assert walk.look(0, 7.0).state is INACTIVE
    walk.states(every(30, HIGH, begin=30, end=HOUR + 30))
    assert {*walk.states(every(30, 7.0, begin=HOUR + 60, end=6 * HOUR))} == {FIRING}


def test_without_an_answer_a_trigger_is_never_over():
    walk = fired()
    assert {*walk.states(every(30, NO_DATA, begin=HOUR + 30, end=4 * HOUR))} == {UNKNOWN}
    assert walk.look(4 * HOUR + 30, HIGH).state is FIRING


def test_a_key_is_of_an_hour_of_evidence():
    walk = Walk(PROMQL)
    keys = [walk.look(*look).key for look in every(30, HIGH, end=2.5 * HOUR)]
    assert {*keys[:120]} == {""}
    assert len({*keys[120:240]}) == 1
    assert len({*keys[120:]}) == 2


def test_another_revision_begins_anew():
    walk = fired()
    assert walk.look(HOUR + 30, HIGH, revision="00000000").state is PENDING


def test_a_changed_threshold_begins_anew():
    walk = fired()
    walk.spec = trigger("promql", query="sum(a)", threshold=10.5)
    assert walk.look(HOUR + 30, HIGH).state is PENDING


def test_a_changed_action_begins_nothing_anew():
    walk = fired()
    walk.spec = trigger("promql", query="sum(a)", threshold=10, action="Alert")
    verdict = walk.look(HOUR + 30, HIGH)
    assert (verdict.state, verdict.action) == (FIRING, "Alert")


def test_a_verdict_has_the_numbers_and_since_when_it_holds():
    walk = Walk(PROMQL)
    walk.look(0, LOW)
    verdict = walk.look(60, HIGH)
    assert (verdict.value, verdict.threshold, verdict.since.timestamp()) == (11, 10, BEGAN.timestamp() + 60)
    assert verdict.reason == "the query gives 11, above the threshold 10; fires when that has lasted for 1 h since 2026-03-02T12:01:00Z"  # fmt: skip


@pytest.mark.parametrize(("given", "length"), [("30s", "30 s"), ("10m", "600 s"), ("90m", "1.5 h")])
def test_what_is_left_to_wait_for_is_a_length_that_people_read(given: str, length: str) -> None:
    verdict = Walk(trigger("promql", query="sum(a)", threshold=10, **{"for": given})).look(0, HIGH)
    assert f"when that has lasted for {length} since" in verdict.reason
