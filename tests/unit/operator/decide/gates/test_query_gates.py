"""What is to be asked for gates with a query, and what acceptance says to them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from query_walks import BEGAN, CANARY, GATE, STABLE

from tuneloop_api.v1alpha1.model_deployment.gates import Gate
from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions, RolloutStep
from tuneloop_operator.decide.accept_queries import query_refusals
from tuneloop_operator.decide.gate_query import Compare, query_problem
from tuneloop_operator.decide.model_deployment.gates.limits import Limits
from tuneloop_operator.decide.model_deployment.query_gates import QueryGate, WantedQuery, query_gates_of, wanted_queries
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Rollout, Split, Strategy

NAMES = {"namespace": "team-a", "deployment": "reviews"}
COMPARED = replace(GATE, compare=Compare.STABLE)
IN_STEP = Rollout(
    strategy=Strategy.CANARY,
    stable=STABLE,
    canary=CANARY,
    phase=Phase.PROGRESSING,
    split=Split(generation=3, weights=((CANARY, 25), (STABLE, 75))),
    step_started=BEGAN,
)
BAKING = replace(
    IN_STEP,
    stable=CANARY,
    canary="",
    previous=STABLE,
    phase=Phase.BAKING,
    split=Split(generation=5, weights=((CANARY, 100),)),
    promoted=BEGAN,
)
QUERY = 'sum(rate(t{revision="{{revision}}"}[5m]))'


def asked(gate: QueryGate, rollout: Rollout | None) -> list[str]:
    return [query.revision for query in wanted_queries([gate], rollout, **NAMES)]


def options(*, query: str = QUERY, compare: str | None = None, **rollout) -> RolloutOptions:
    return RolloutOptions(gates=[Gate(name="g", query=query, margin=1.0, compare=compare)], **rollout)


# what is asked


def test_in_a_step_both_revisions_are_asked_about_by_name():
    canary, stable = wanted_queries([COMPARED], IN_STEP, **NAMES)
    assert canary == WantedQuery(gate="truncated", revision=CANARY, query=f'sum(rate(t{{revision="{CANARY}"}}[1m]))')
    assert stable.revision == STABLE


def test_an_absolute_gate_asks_about_the_canary_alone():
    assert asked(GATE, IN_STEP) == [CANARY]


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PAUSED, Phase.HELD, Phase.PROMOTING])
def test_as_long_as_harm_rolls_back_it_is_asked(phase):
    assert asked(GATE, replace(IN_STEP, phase=phase)) == [CANARY]


@pytest.mark.parametrize(
    "rollout",
    [
        None,
        replace(IN_STEP, step_started=None),
        replace(IN_STEP, phase=Phase.STARTING, step_started=None),
        replace(IN_STEP, phase=Phase.ROLLING_BACK),
        replace(IN_STEP, phase=Phase.DONE, canary=""),
        replace(BAKING, previous=""),
    ],
    ids=["no roll-out", "not in force", "starting", "rolling back", "done", "nothing to go back to"],
)
def test_where_nothing_is_judged_nothing_is_asked(rollout):
    assert asked(GATE, rollout) == []


def test_without_requests_at_stable_there_is_nothing_to_compare():
    alone = replace(IN_STEP, split=Split(generation=4, weights=((CANARY, 100),)))
    assert asked(COMPARED, alone) == []
    assert asked(GATE, alone) == [CANARY]


def test_while_baking_the_promoted_revision_is_asked_about_alone():
    assert asked(GATE, BAKING) == [CANARY]
    assert asked(COMPARED, BAKING) == []


def test_a_query_that_was_not_accepted_is_not_asked():
    assert asked(replace(GATE, query="up{{"), IN_STEP) == []


def test_gates_of_the_spec_have_their_defaults():
    (found,) = query_gates_of(options())
    assert found == QueryGate(name="g", query=QUERY, margin=1.0, compare=Compare.STABLE, limits=Limits())


def test_gates_with_a_metric_are_no_query_gates():
    assert query_gates_of(RolloutOptions(gates=[Gate(name="errors", metric="Errors", margin=0.01)])) == ()
    assert query_gates_of(None) == ()


# what is accepted


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('up{revision="{{revision}}', "a string without an end"),
        ("up{revision={{revision}}}", "{{ outside of a string"),
        ('up{pod="{{pod}}"}', "allowed are {{namespace}}, {{deployment}}, {{revision}}"),
        ('rate(up{revision="{{revision}}"}[$__rate_interval])', "for example [5m]"),
        ("  # nothing\n", "the query is empty"),
        ('max(up{revision="{{revision}}"}', "a bracket without an end: a ) is missing"),
        ('max(up{revision="{{revision}}")', "a ) without its beginning, or a bracket before it without an end"),
        ('up{revision="{{revision}}"} > 1)', "a ) without its beginning"),
    ],
)
def test_a_query_that_cannot_be_asked_is_named(query, words):
    assert words in query_problem(query)
    (refusal,) = query_refusals(options(query=query, compare="Absolute"))
    assert (refusal.reason, refusal.field) == ("InvalidQuery", "spec.rollout.gates[0].query")


@pytest.mark.parametrize("query", ["up # {{revision}}", 'up{revision="{{ namespace }}"}'])
def test_a_difference_that_is_always_0_is_refused(query):
    assert "always 0" in query_problem(query, Compare.STABLE)
    assert query_problem(query, Compare.ABSOLUTE) == ""


def test_a_good_query_has_no_problem():
    assert query_problem(QUERY, Compare.STABLE) == ""
    assert query_problem('count(up{pod=~"a(b|c"}) # (') == ""
    assert [*query_refusals(options())] == []
    assert [*query_refusals(None)] == []


@pytest.mark.parametrize(
    "rollout",
    [
        {"strategy": "BlueGreen"},
        {"strategy": "Recreate"},
        {"strategy": "Shadow"},
        {"steps": [RolloutStep(weight=100)]},
    ],
)
def test_a_comparison_needs_a_step_in_which_both_get_requests(rollout):
    (refusal,) = query_refusals(options(**rollout))
    assert (refusal.reason, refusal.field) == ("NothingToCompare", "spec.rollout.gates[0].compare")
    assert [*query_refusals(options(compare="Absolute", **rollout))] == []


def test_a_window_for_which_the_steps_have_no_room_is_refused():
    (refusal,) = query_refusals(options(query=QUERY.replace("5m", "2h")))
    assert refusal.reason == "QueryTooLong"
    assert "24 hours at least" in refusal.allowed
    assert [*query_refusals(options(query=QUERY.replace("5m", "1h")))] == []
