"""One fault in the life of a job, and the job ends as if there had been none: same objects, made as often, none too many.

Each plan is one fault: the operator killed right after a write, a write's reply or request lost, a watch event missed. The plans are
learned from fault-free runs. `make test` takes a part of them, `make test-full` all. One can be run by its id, as a failure names it:

    TUNELOOP_PLANS='restarted/kill/07' pytest tests/stories/control_plane/test_operator_faults.py
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from fault_plans import RESTARTED, SCENARIOS, SUCCEEDED, event_plans, named, sample, scripts_of, write_plans
from plan_runs import PlanRunner
from pod_status_patcher import PodStatusPatcher

SEED = 20
SAMPLED = 6
CHOSEN = os.environ.get("TUNELOOP_PLANS", "")
FAULTS = ["kill", "lose-reply", "lose-request", "miss-event"]


@pytest.fixture(scope="module")
def runner(custom_resources, tmp_path_factory):
    """What runs plans; the pods of all scenarios are played."""
    with PodStatusPatcher(custom_resources, scripts=scripts_of(SCENARIOS)):
        yield PlanRunner(custom_resources, tmp_path_factory.mktemp("plans"))


@pytest.fixture(scope="module")
def clean(runner):
    """Fault-free runs of each scenario."""
    return {scenario.name: runner.clean(scenario) for scenario in SCENARIOS}


def plans_of(scenario, clean, fault):
    if fault == "miss-event":
        return event_plans(scenario, clean)
    return write_plans(scenario, clean, fault=fault)


def check(runner, plans, clean, record_property):
    """Run the plans and fail with what is different after each."""
    assert plans
    outcomes = runner.run(plans, clean)
    bad = [outcome for outcome in outcomes if outcome.problems]
    met = sum(outcome.has_fired for outcome in outcomes)
    idle = [outcome.plan.id for outcome in outcomes if not (outcome.has_fired or may_find_nothing(outcome.plan, clean))]
    record_property("plans", len(outcomes))
    record_property("met", met)
    print(f"{len(outcomes)} plans, {met} met, {len(bad)} bad")
    if bad:
        pytest.fail("\n".join(map(str, bad)), pytrace=False)
    assert idle == [], "plans whose fault never came to pass"


def may_find_nothing(plan, clean) -> bool:
    """Whether a run may lack what the plan's fault is to meet: two changes that are observed at once make one status write less.

    Then the last write is missing, or one of the many times at which a watch reported a change.
    """
    if plan.fault == "miss-event":
        return plan.what.startswith("MODIFIED")
    return plan.number == min(len(run.writes) for run in clean)


@pytest.mark.timeout(600)
@pytest.mark.skipif(CHOSEN != "", reason="other plans are asked for")
def test_the_operator_is_killed_after_any_write(runner, clean, record_property):
    """The writes of a job that is restarted are those of one that succeeds, and more."""
    runs = clean[RESTARTED.name]
    check(runner, write_plans(RESTARTED, runs, fault="kill"), runs, record_property)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS[1:])
@pytest.mark.skipif(CHOSEN != "", reason="other plans are asked for")
def test_a_call_or_an_event_is_lost(runner, clean, fault, record_property):
    runs = clean[RESTARTED.name]
    plans = sample(plans_of(RESTARTED, runs, fault), SAMPLED, seed=SEED)
    check(runner, plans, runs, record_property)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.skipif(CHOSEN != "", reason="other plans are asked for")
def test_every_plan(runner, clean, scenario, fault, record_property):
    runs = clean[scenario.name]
    check(runner, plans_of(scenario, runs, fault), runs, record_property)


@pytest.mark.timeout(1800)
@pytest.mark.skipif(CHOSEN == "", reason="no plans are asked for by TUNELOOP_PLANS")
def test_the_plans_that_are_asked_for(runner, clean, record_property):
    for scenario in SCENARIOS:
        runs = clean[scenario.name]
        every = [plan for fault in FAULTS for plan in plans_of(scenario, runs, fault)]
        if plans := named(every, CHOSEN):
            check(runner, plans, runs, record_property)


def test_fault_free_runs_do_what_is_to_be_done_once(clean):
    for runs in clean.values():
        counts = [
            Counter(f"{call.verb} {call.resource} {call.name}" for call in run.writes if call.verb == "create")
            for run in runs
        ]
        assert all(set(counter.values()) == {1} for counter in counts), counts


def test_fault_free_runs_leave_no_orphan(clean):
    assert {run.end.orphans for runs in clean.values() for run in runs} == {()}


def test_a_restarted_job_writes_all_that_one_does_that_succeeds(clean):
    def made(scenario):
        return {
            (call.verb, call.resource, call.name.removeprefix(scenario.name)) for call in clean[scenario.name][0].writes
        }

    assert made(SUCCEEDED) < made(RESTARTED)
