"""What holds for every trigger, whatever Prometheus answers in which order: found by random walks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trigger_walks import ACCURACY, DRIFT, ERROR, FIRING, NO_DATA, PROMQL, UNKNOWN, Walk, trigger

from tuneloop_api.v1alpha1.model_deployment.trigger_status import TriggerMemoryStatus
from tuneloop_operator.decide.model_deployment.retraining.triggers.records import read_trigger, written_trigger

MEASURED = {"promql": PROMQL, "drift": DRIFT, "accuracy": ACCURACY}
BEYOND = {"promql": 11.0, "drift": 1.2, "accuracy": {"right": 500.0, "labels": 1000.0}}
BACK = {"promql": 1.0, "drift": 0.3, "accuracy": {"right": 950.0, "labels": 1000.0}}
NEEDED = {"promql": timedelta(hours=1), "drift": timedelta(days=2), "accuracy": timedelta(days=1)}
LONGEST_GAP = {"promql": timedelta(seconds=180), "drift": timedelta(days=2), "accuracy": timedelta(days=2)}
ALL = MEASURED | {
    "schedule": trigger("schedule", schedule="*/7 * * * *", timeZone="Europe/Berlin"),
    "newData": trigger("newData", minNewSamples=5),
    "manual": trigger("manual"),
}
WALKS = settings(max_examples=50, deadline=None)
steps = st.sampled_from([-86400, -3600, -1, 0, 1, 30, 45, 60, 179, 181, 3600, 43200, 86400, 86430, 172801])
words = st.sampled_from(["beyond", "beyond", "beyond", "back", "none", "error"])
walks = st.lists(st.tuples(steps, words), min_size=1, max_size=60)


def answer(type_: str, word: str):
    return {"beyond": BEYOND.get(type_, 9.0), "back": BACK.get(type_, 0.0), "none": NO_DATA, "error": ERROR}[word]


@pytest.mark.parametrize("type_", [*MEASURED, "newData"])
@WALKS
@given(walk=st.lists(st.tuples(steps, st.sampled_from(["none", "error"])), min_size=1, max_size=40))
def test_no_walk_without_answers_fires(type_, walk):
    watched, at = Walk(ALL[type_]), 0.0
    for step, word in walk:
        at += step
        assert watched.look(at, answer(type_, word)).state is UNKNOWN


@pytest.mark.parametrize("type_", MEASURED)
@WALKS
@given(walk=walks)
def test_a_trigger_that_begins_to_fire_has_evidence_for_as_long_as_it_needs(type_, walk):
    """The rows are found here from the walk alone: a row ends with a number that is back, a long gap, or a clock that goes back."""
    watched, at, was_firing = Walk(MEASURED[type_]), 0.0, False
    row: list[float] = []
    for step, word in walk:
        at += step
        if word in {"beyond", "back"} and row and not 0 <= at - row[-1] <= LONGEST_GAP[type_].total_seconds():
            row = []
        if word == "beyond":
            row.append(at)
        elif word == "back" and type_ == "promql":
            row = []
        state = watched.look(at, answer(type_, word)).state
        if state is FIRING and not was_firing:
            assert row[-1] - row[0] >= NEEDED[type_].total_seconds()
        was_firing = watched.memory is not None and bool(watched.memory.fired_key)


@pytest.mark.parametrize("type_", MEASURED)
@WALKS
@given(walk=st.lists(st.tuples(steps, st.sampled_from(["back", "none", "error"])), min_size=1, max_size=60))
def test_numbers_that_are_never_beyond_never_fire(type_, walk):
    watched, at = Walk(MEASURED[type_]), 0.0
    for step, word in walk:
        at += step
        assert watched.look(at, answer(type_, word)).state is not FIRING


@pytest.mark.parametrize("type_", ALL)
@WALKS
@given(walk=walks, tokens=st.lists(st.sampled_from(["", "a", "b"]), min_size=60, max_size=60))
def test_an_operator_that_restarts_after_every_look_says_the_same(type_, walk, tokens):
    steady, restarted, at = Walk(ALL[type_]), Walk(ALL[type_]), 0.0
    for (step, word), token in zip(walk, tokens, strict=False):
        at += step
        expected = steady.look(at, answer(type_, word), token=token)
        found = restarted.look(at, answer(type_, word), token=token)
        assert found == expected
        assert restarted.memory is not None
        as_json = written_trigger(restarted.memory).model_dump_json(by_alias=True, exclude_none=True)
        restarted.memory = read_trigger(TriggerMemoryStatus.model_validate_json(as_json))
        assert restarted.memory == steady.memory


def test_a_state_of_a_later_release_is_read_as_unknown():
    status = TriggerMemoryStatus.from_wire({"name": "watch", "state": "Asleep", "since": "2026-03-02T12:00:00Z"})
    assert read_trigger(status).state is UNKNOWN
    assert read_trigger(status).since == datetime(2026, 3, 2, 12, tzinfo=UTC)
