"""What is asked for by data and by people: enough labels since the last run, and the annotation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from trigger_walks import BEGAN, DAY, ERROR, FIRING, INACTIVE, NO_DATA, UNKNOWN, Walk, trigger

from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import queries_of

ENOUGH = trigger("newData", minNewSamples=1000)
BY_HAND = trigger("manual")


@pytest.mark.parametrize(("labels", "state"), [(1000, FIRING), (999.4, INACTIVE), (0, INACTIVE), (NO_DATA, UNKNOWN), (ERROR, UNKNOWN)])  # fmt: skip
def test_enough_labels_fire_at_once(labels, state):
    assert Walk(ENOUGH).look(0, labels).state is state


@pytest.mark.parametrize(("since", "window"), [
    (timedelta(seconds=5), 60),
    (timedelta(hours=1, seconds=59), 3600),
    (timedelta(days=365), 90 * DAY),
    (-timedelta(hours=1), 60),
])  # fmt: skip
def test_labels_count_since_the_last_run(since, window):
    walk = Walk(ENOUGH)
    walk.look(0, 5, cutoff=BEGAN - since)
    (asked,) = queries_of(ENOUGH, walk.about, now=BEGAN)
    assert asked.query == f'sum(increase(tuneloop_feedback_total{{namespace="team",deployment="reviews"}}[{window}s]))'


def test_a_run_makes_the_next_labels_another_key():
    walk = Walk(ENOUGH)
    key = walk.look(0, 1000).key
    assert walk.look(30, 1100).key == key
    assert walk.look(60, 1100, handled=frozenset({key})).state is INACTIVE
    assert walk.look(90, 1000, cutoff=BEGAN).key not in {"", key}


def test_a_new_token_fires_until_a_run_answers_it():
    walk = Walk(BY_HAND)
    assert walk.look(0).state is INACTIVE
    key = walk.look(30, token="please").key
    assert walk.look(60, revision="00000000").key == key
    assert walk.look(90, handled=frozenset({key})).state is INACTIVE
    assert walk.look(120, token="again").state is FIRING


def test_the_token_of_the_first_look_asks_for_nothing():
    assert Walk(BY_HAND).look(0, token="old").state is INACTIVE


def test_a_token_that_is_taken_away_asks_for_nothing():
    walk = Walk(BY_HAND)
    walk.look(0)
    walk.look(30, token="please")
    assert walk.look(60, token="").state is INACTIVE


def test_a_key_does_not_show_the_token():
    walk = Walk(BY_HAND)
    walk.look(0)
    assert "please" not in repr(walk.look(30, token="please"))
