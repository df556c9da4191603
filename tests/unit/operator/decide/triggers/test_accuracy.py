"""Accuracy by the labels of mature days: which limit decides, at which level, and against what."""

from __future__ import annotations

import bisect

import numpy as np
import pytest
from trigger_walks import ACCURACY, BEGAN, DAY, FIRING, HOUR, INACTIVE, NO_DATA, PENDING, UNKNOWN, Walk, trigger

from tuneloop_api.statistics.binomial import tail_at_least
from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import queries_of
from tuneloop_operator.decide.model_deployment.retraining.triggers.levels import labels_needed


def counts(right: float, labels: float) -> dict[str, float]:
    return {"right": right, "labels": labels}


def test_labels_and_right_answers_are_asked_for_of_the_stable_revision():
    queries = queries_of(ACCURACY, Walk(ACCURACY).about, now=BEGAN)
    of = '{namespace="team",deployment="reviews",revision="7d1f0b2c"}'
    assert [query.part for query in queries] == ["right", "labels"]
    assert queries[0].query == f"sum(tuneloop:feedback_correct:mature{of})"
    assert queries[1].query.startswith(f"sum(tuneloop:feedback_labels:mature{of}) and (")


@pytest.mark.parametrize(
    ("right", "labels", "state"),
    [
        pytest.param(800, 1000, PENDING, id="surely below"),
        pytest.param(880, 1000, INACTIVE, id="below, and chance can explain it"),
        pytest.param(920, 1000, INACTIVE, id="above"),
        pytest.param(0, 199, UNKNOWN, id="too few labels, all wrong"),
        pytest.param(0, 200, PENDING, id="enough labels, all wrong"),
        pytest.param(201, 200, UNKNOWN, id="more right answers than labels"),
    ],
)
def test_the_upper_limit_of_the_accuracy_decides(right, labels, state):
    assert Walk(ACCURACY).look(0, counts(right, labels)).state is state


SCORES = {
    "all alike": lambda chance: np.full(600, 0.9),
    "of two kinds": lambda chance: chance.choice([0.8, 1.0], 600),
    "even": lambda chance: chance.uniform(0.8, 1.0, 600),
    "thumbs": lambda chance: (chance.random(600) < 0.9).astype(float),
    "some halves": lambda chance: chance.choice([0.0, 0.5, 1.0], 600, p=[0.05, 0.1, 0.85]),
}
"""Scores of answers whose mean is what the trigger allows."""


@pytest.mark.parametrize("kind", SCORES)
def test_scores_fire_no_oftener_than_labels_with_the_same_mean(kind):
    chance = np.random.default_rng(90)
    strict = trigger("accuracy", below=0.9, expectedDaysBetweenFalseTriggers=20)  # a level of 5 %
    draws = [SCORES[kind](chance).sum() for _ in range(400)]
    found = [Walk(strict).look(0, counts(right, 600)).state is PENDING for right in draws]
    assert sum(found) / len(found) <= 0.05


def test_a_mean_score_that_is_surely_below_fires():
    assert Walk(ACCURACY).look(0, counts(812.75, 1000)).state is PENDING


def test_a_verdict_names_accuracy_labels_and_limit():
    verdict = Walk(ACCURACY).look(0, counts(800, 1000))
    assert verdict.reason.startswith("accuracy 80.0% of 1000 labels, at most 84.7%; allowed is 90.0% or more")
    assert verdict.value == pytest.approx(0.8472, abs=1e-4)
    assert (verdict.threshold, verdict.action) == (0.9, "Retrain")


def test_two_days_in_a_row_fire():
    walk = Walk(ACCURACY)
    assert walk.states([(0, counts(800, 1000)), (DAY - 30, counts(800, 1000)), (DAY, counts(800, 1000))]) == [
        PENDING,
        PENDING,
        FIRING,
    ]


def test_a_number_between_two_days_counts_for_nothing():
    walk = Walk(ACCURACY)
    states = walk.states([(0, counts(800, 1000)), (HOUR, counts(990, 1000)), (DAY, counts(800, 1000))])
    assert states[-1] is FIRING


def test_a_day_without_answers_keeps_the_row_and_two_begin_it_anew():
    bad = counts(800, 1000)
    assert Walk(ACCURACY).states([(0, bad), (DAY, NO_DATA), (2 * DAY, bad)])[-1] is FIRING
    assert Walk(ACCURACY).states([(0, bad), (DAY, NO_DATA), (2 * DAY + 60, bad)])[-1] is PENDING


def test_a_rarer_false_alarm_asks_for_more():
    often, rare = (trigger("accuracy", below=0.9, expectedDaysBetweenFalseTriggers=days) for days in (10, 3650))
    assert Walk(often).look(0, counts(860, 1000)).state is PENDING
    assert Walk(rare).look(0, counts(860, 1000)).state is INACTIVE


def test_the_first_labels_of_a_revision_are_the_baseline():
    walk = Walk(trigger("accuracy", dropBelowBaseline=0.02))
    assert walk.look(0, counts(450, 499)).state is UNKNOWN
    assert walk.look(HOUR, counts(950, 1000)).state is INACTIVE
    assert walk.look(DAY + HOUR, counts(4000, 5000)).state is PENDING
    assert walk.memory is not None
    assert walk.memory.baseline is not None
    assert walk.memory.baseline.labels == 1000


@pytest.mark.parametrize(("right", "state"), [(4000, PENDING), (4550, INACTIVE), (4650, INACTIVE)])
def test_what_was_lost_for_certain_is_held_against_the_allowed_drop(right, state):
    walk = Walk(trigger("accuracy", dropBelowBaseline=0.02))
    walk.look(0, counts(950, 1000))
    assert walk.look(DAY, counts(right, 5000)).state is state


def test_another_revision_has_another_baseline():
    walk = Walk(trigger("accuracy", dropBelowBaseline=0.02))
    walk.look(0, counts(950, 1000))
    assert walk.look(DAY, counts(4000, 5000), revision="00000000").state is INACTIVE


def test_other_fields_keep_the_baseline():
    walk = Walk(trigger("accuracy", dropBelowBaseline=0.02))
    walk.look(0, counts(950, 1000))
    walk.spec = trigger("accuracy", dropBelowBaseline=0.03)
    assert walk.look(DAY, counts(4000, 5000)).state is PENDING


def chance(*, accuracy: float, labels: int, days: int) -> float:
    """Return the probability that one look is beyond 90 %, exactly; every second label says the same as the one before."""
    spec = trigger("accuracy", below=0.9, expectedDaysBetweenFalseTriggers=days)
    users = labels // 2

    def is_beyond(right: int) -> bool:
        return Walk(spec).look(0, counts(2 * right, 2 * users)).state is PENDING

    fewest_fine = bisect.bisect_left(range(users + 1), True, key=lambda right: not is_beyond(right))
    return 1 - tail_at_least(fewest_fine, users, accuracy)


@pytest.mark.parametrize("days", [10, 365, 3650])
@pytest.mark.parametrize("labels", [200, 1000, 10000])
def test_a_model_at_the_limit_is_called_worse_no_oftener_than_the_setting(labels, days):
    assert chance(accuracy=0.9, labels=labels, days=days) <= 1 / days


@pytest.mark.parametrize("accuracy", [0.88, 0.85, 0.8])
def test_so_many_labels_find_a_loss_with_80_percent(accuracy):
    labels = labels_needed(below=0.9, accuracy=accuracy)
    assert chance(accuracy=accuracy, labels=labels, days=365) == pytest.approx(0.8, abs=0.1)
