"""Looks: how many, when, and that their errors together stay within alpha."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_operator.decide.model_deployment.gates.looks import EARLY, due_look, planned_looks, single_look

STEPS = st.lists(st.integers(1, 100_000), min_size=1, max_size=8)
ENDS = st.integers(1, 5)


@given(STEPS, ENDS, st.floats(0.001, 0.2))
def test_fail_at_any_look_of_the_rollout_stays_within_alpha(steps, ends, alpha):
    assert math.fsum(
        look.levels.fail for look in planned_looks(steps, alpha=alpha, inconclusive_limit=ends)
    ) == pytest.approx(alpha)


@given(STEPS, ENDS, st.floats(0.001, 0.2))
def test_pass_at_the_ends_of_one_step_stays_within_alpha(steps, ends, alpha):
    plan = planned_looks(steps, alpha=alpha, inconclusive_limit=ends)
    for step in range(1, len(steps) + 1):
        assert math.fsum(
            look.levels.promote for look in plan if look.step == step and look.at_step_end
        ) == pytest.approx(alpha)


@given(STEPS, ENDS)
def test_the_number_of_looks_follows_from_the_steps(steps, ends):
    plan = planned_looks(steps, alpha=0.05, inconclusive_limit=ends)
    assert [look.number for look in plan] == list(range(1, len(steps) * (len(EARLY) + ends) + 1))


def test_a_step_looks_early_and_at_its_ends():
    plan = planned_looks([1_000], alpha=0.05, inconclusive_limit=3)
    assert [(look.samples, look.at_step_end) for look in plan] == [
        (250, False),
        (500, False),
        (1_000, True),
        (2_000, True),
        (3_000, True),
    ]


def test_a_golden_set_is_looked_at_once_with_all_of_alpha():
    (look,) = single_look(500, alpha=0.05)
    assert (look.levels.fail, look.levels.promote, look.at_step_end) == (0.05, 0.05, True)


@pytest.mark.parametrize(
    ("samples", "last_taken", "number"),
    [
        pytest.param(249, 5, None, id="not yet"),
        pytest.param(250, 5, 6, id="the first look of the second step"),
        pytest.param(9_999, 5, 6, id="a jump of the counts skips no look"),
        pytest.param(9_999, 9, 10, id="the last"),
        pytest.param(9_999, 10, None, id="none is left"),
    ],
)
def test_the_look_that_is_due(samples, last_taken, number):
    plan = planned_looks([1_000, 1_000], alpha=0.05, inconclusive_limit=3)
    look = due_look(plan, step=2, samples=samples, last_taken=last_taken)
    assert (look and look.number) == number
