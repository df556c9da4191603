"""Drift: what Prometheus is asked for, and how many days in a row count."""

from __future__ import annotations

import re

import pytest
from trigger_walks import BEGAN, DAY, DRIFT, FIRING, INACTIVE, NO_DATA, PENDING, UNKNOWN, Walk, every, trigger

from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import queries_of
from tuneloop_operator.decide.model_deployment.retraining.triggers.levels import deviations


def query(**fields) -> str:
    spec = trigger("drift", **fields)
    (asked,) = queries_of(spec, Walk(spec).about, now=BEGAN)
    return asked.query


def test_the_features_of_the_spec_are_asked_for():
    assert query(features=["confidence", "top.p"]).count(r'feature=~"confidence|top\\.p"') == query().count("revision=")


def test_the_threshold_is_the_least_limit():
    assert query(threshold=0.35).count(", 0.35)") == 1
    assert query().count(", 0.2)") == 1


@pytest.mark.parametrize(("fields", "z"), [
    pytest.param({}, 3.7581, id="1 / (365 * 32)"),
    pytest.param({"features": ["confidence"]}, 2.7774, id="1 / 365"),
    pytest.param({"features": ["a", "b"], "expectedDaysBetweenFalseTriggers": 30}, 2.1280, id="1 / (30 * 2)"),
])  # fmt: skip
def test_each_feature_has_its_part_of_the_level(fields, z):
    """The quantiles are scipy's."""
    (found,) = {*re.findall(r"\+ ([0-9.]+) \* sqrt", query(**fields))}
    assert float(found) == pytest.approx(z, abs=1e-4)


def test_three_days_in_a_row_fire_and_the_default_action_is_an_alert():
    walk = Walk(DRIFT)
    assert walk.states([(0, 1.5), (DAY, 1.5)]) == [PENDING, PENDING]
    verdict = walk.look(2 * DAY, 1.5)
    assert (verdict.state, verdict.action) == (FIRING, "Alert")
    assert "1.50 times its limit" in verdict.reason


def test_a_weekend_is_no_drift():
    week = [0.4, 0.4, 0.4, 0.4, 0.4, 3.0, 3.0]
    assert FIRING not in Walk(DRIFT).states([(day * DAY, week[day % 7]) for day in range(70)])


def test_drift_is_over_after_three_days_at_the_limit_or_below():
    walk = Walk(DRIFT)
    walk.states([(day * DAY, 1.5) for day in range(3)])
    assert walk.states([(3 * DAY, 1.0), (4 * DAY, 0.5), (5 * DAY, 0.5)]) == [FIRING, FIRING, INACTIVE]


def test_without_a_baseline_it_is_unknown():
    verdict = Walk(DRIFT).look(0, NO_DATA)
    assert verdict.state is UNKNOWN
    assert "no baseline" in verdict.reason


def test_looks_between_two_days_do_not_hurry_it():
    states = Walk(DRIFT).states(every(30 * 60, 2.0, end=2 * DAY))
    assert states.index(FIRING) == len(states) - 1


def test_a_level_of_every_second_day_or_oftener_is_a_half():
    assert deviations(1) == deviations(2) == 0
