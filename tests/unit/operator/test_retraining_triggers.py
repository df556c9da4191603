"""Triggers of the spec, joined to the operator: what is asked of Prometheus, what an answer leads to, and how often the status is written."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from operator_harness import START
from retrained_in_memory import DAY, Retrained
from trigger_looks import look

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.decide.model_deployment.retraining_triggers import counted
from tuneloop_operator.prometheus.answer import Answer, Number, Unanswered
from tuneloop_operator.state.gate_inputs import QueryAnswer

QUERY = {
    "name": "complaints",
    "type": "promql",
    "query": 'sum(complaints{model="{{deployment}}"})',
    "threshold": 5,
    "for": "10m",
}


def states(deployed: Retrained) -> dict[str, str]:
    return {trigger["name"]: trigger["state"] for trigger in deployed.loop["triggers"]}


def test_a_number_that_stays_beyond_its_limit_starts_a_run() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY])
        assert states(deployed) == {"complaints": "Unknown", "manual": "Inactive"}
        assert await look(deployed, 7.0) == ['sum(complaints{model="api"})']
        assert deployed.place == ("Suspected", "")
        for _ in range(10):
            await look(deployed, 7.0, later=60.0)
        assert deployed.place == ("Training", "")
        assert deployed.loop["history"][0]["trigger"] == "complaints"
        assert deployed.condition("QualityDegraded") == ("True", "TriggerFires")
        await deployed.restart()
        await look(deployed, 1.0)
        assert len(deployed.created) == 1

    asyncio.run(life())


def test_a_trigger_that_goes_on_firing_starts_its_next_run_after_the_pause() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY])
        for _ in range(11):
            await look(deployed, 7.0, later=60.0)
        await deployed.fail_job()
        for _ in range(11):
            await look(deployed, 7.0, later=60.0)
        assert deployed.place == ("Blocked", "Cooldown")
        await deployed.settle(later=2 * DAY)
        for _ in range(11):
            await look(deployed, 7.0, later=60.0)
        assert deployed.place[0] == "Training"
        assert len(deployed.created) == 2

    asyncio.run(life())


def test_an_answer_about_the_revision_before_says_nothing_of_the_one_that_was_promoted() -> None:
    accuracy = {"name": "accuracy", "type": "accuracy", "dropBelowBaseline": 0.05}

    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[accuracy])
        await deployed.ask()
        await deployed.train("d2")
        await look(deployed, 1000.0)
        assert "baseline" in deployed.loop["triggerMemory"][0]
        await deployed.serve()
        (memory, _) = deployed.loop["triggerMemory"]
        assert memory["revision"] == deployed.status["stable"]["revision"]
        assert "baseline" not in memory
        assert states(deployed)["accuracy"] == "Unknown"
        await look(deployed, 1000.0, later=30.0)
        assert "baseline" in deployed.loop["triggerMemory"][0]

    asyncio.run(life())


def test_an_answer_to_an_earlier_query_of_a_trigger_says_nothing() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY])
        await look(deployed, 7.0)
        edited = QUERY | {"query": "sum(other)"}
        await deployed.change(retraining=deployed.stored["spec"]["retraining"] | {"triggers": [edited]})
        assert states(deployed)["complaints"] == "Unknown"
        assert await look(deployed, 7.0) == ["sum(other)"]
        assert states(deployed)["complaints"] == "Pending"

    asyncio.run(life())


def test_labels_that_a_run_has_read_are_not_counted_for_the_next_one() -> None:
    new_data = {"name": "labels", "type": "newData", "minNewSamples": 500}

    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[new_data])
        await look(deployed, 600.0, later=60.0)
        assert deployed.place == ("Suspected", ""), "nothing is known of the data yet"
        await look(deployed, 600.0, later=30.0)
        assert deployed.place == ("Training", "")
        assert states(deployed)["labels"] == "Unknown"

    asyncio.run(life())


def test_without_data_nothing_fires() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY])
        await deployed.settle(later=30 * DAY)
        assert states(deployed)["complaints"] == "Unknown"
        assert deployed.condition("QualityDegraded") == ("Unknown", "NoData")
        assert deployed.created == []

    asyncio.run(life())


DOWN = Unanswered(verdict="Error", reason="no answer within 10 s")
EMPTY = Unanswered(verdict="NoData", reason="the query has an empty result")


def test_a_prometheus_that_fails_now_and_then_changes_no_state() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY | {"action": "Alert"}])
        for _ in range(11):
            await look(deployed, 7.0, later=60.0)
        assert states(deployed)["complaints"] == "Firing"
        before = len(deployed.harness.cluster.writes)
        for _ in range(6):
            await look(deployed, DOWN, later=30.0)
        await look(deployed, 7.0, later=30.0)
        assert states(deployed)["complaints"] == "Firing"
        assert len(deployed.harness.cluster.writes) == before
        for _ in range(7):
            await look(deployed, DOWN, later=30.0)
        assert states(deployed)["complaints"] == "Unknown"
        assert deployed.loop["triggers"][0]["reason"] == DOWN.reason

    asyncio.run(life())


SEVEN = Number(value=7.0, at=START.timestamp())
ANSWERS: list[tuple[str, str, list[Answer], list[Answer], float, bool]] = [
    ("an error after a number", "trigger/complaints/a", [SEVEN], [DOWN], 30.0, True),
    ("an error after an old number", "trigger/complaints/a", [SEVEN], [DOWN], 181.0, False),
    ("one error of two answers", "trigger/accuracy/a", [SEVEN, SEVEN], [SEVEN, DOWN], 30.0, True),
    ("an error after an error", "trigger/complaints/a", [DOWN], [DOWN], 30.0, False),
    ("the first error", "trigger/complaints/a", [], [DOWN], 30.0, False),
    ("a number after a number", "trigger/complaints/a", [SEVEN], [SEVEN], 30.0, False),
    ("an empty result", "trigger/complaints/a", [SEVEN], [EMPTY], 30.0, False),
    ("an error of a gate", "complaints", [SEVEN], [DOWN], 30.0, False),
    ("a clock that went back", "trigger/complaints/a", [SEVEN], [DOWN], -1.0, False),
]


@pytest.mark.parametrize(("_", "gate", "before", "now", "later", "outlasts"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_numbers_of_a_trigger_outlast_errors_for_three_minutes(
    _: str, gate: str, before: list[Answer], now: list[Answer], later: float, outlasts: bool
) -> None:
    old = tuple(QueryAnswer(gate=gate, revision="", answer=found, at=START) for found in before)
    at = START + timedelta(seconds=later)
    new = tuple(QueryAnswer(gate=gate, revision="", answer=found, at=at) for found in now)
    assert counted(old, new) == (old if outlasts else new)


def test_an_empty_result_is_no_failure_and_counts_at_once() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY])
        await look(deployed, 7.0)
        await look(deployed, EMPTY, later=30.0)
        assert states(deployed)["complaints"] == "Unknown"

    asyncio.run(life())


def test_an_alert_starts_nothing() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY | {"action": "Alert"}])
        for _ in range(12):
            await look(deployed, 7.0, later=60.0)
        assert states(deployed)["complaints"] == "Firing"
        assert deployed.place == ("Idle", "")
        assert deployed.loop["message"] == "complaints fires, it only alerts"

    asyncio.run(life())


def test_a_time_of_the_schedule_starts_one_run() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[{"name": "nightly", "type": "schedule", "schedule": "0 2 * * *"}], cooldown="1h")
        for _ in range(14 * 4):
            await deployed.settle(later=900.0)
        assert deployed.place == ("Training", "")
        assert deployed.created == [deployed.run]
        assert deployed.loop["history"][0]["trigger"] == "nightly"

    asyncio.run(life())


def test_a_schedule_wakes_the_operator_for_its_times_and_not_twice_a_minute() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[{"name": "nightly", "type": "schedule", "schedule": "0 14 * * *"}])
        before = deployed.harness.reconciliations
        while deployed.harness.now < START + timedelta(hours=2) - timedelta(seconds=30):
            await deployed.settle(later=30.0)
        assert deployed.place == ("Idle", "")
        assert deployed.harness.reconciliations - before <= 2 * 6 + 1
        for _ in range(3):
            await deployed.settle(later=30.0)
        assert deployed.place == ("Training", "")

    asyncio.run(life())


def test_a_time_that_was_missed_while_no_operator_ran_is_told() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[{"name": "nightly", "type": "schedule", "schedule": "0 2 * * *"}])
        assert "no time has come" in deployed.loop["triggers"][0]["reason"]
        await deployed.settle(later=1.5 * DAY)
        assert "was missed by more than 60 min" in deployed.loop["triggers"][0]["reason"]
        assert deployed.created == []

    asyncio.run(life())


def test_a_number_at_rest_is_not_written_again_and_again() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY])
        await look(deployed, 1.01)
        before = len(deployed.harness.cluster.writes)
        for value in (1.011, 1.02, 1.03, 1.01):
            await look(deployed, value, later=300.0)
        assert len(deployed.harness.cluster.writes) == before
        await look(deployed, 2.0, later=60.0)
        assert len(deployed.harness.cluster.writes) == before + 1

    asyncio.run(life())


def test_a_number_that_is_never_at_rest_is_written_once_in_five_minutes() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[QUERY])
        await look(deployed, 1.0)
        before, rounds = len(deployed.harness.cluster.writes), 60
        for number in range(1, rounds + 1):
            await look(deployed, 1.0 + number % 7 / 2, later=30.0)
        assert len(deployed.harness.cluster.writes) - before == rounds * 30 / 300
        await look(deployed, 7.0, later=30.0)
        assert states(deployed)["complaints"] == "Pending", "a state is written at once"
        assert deployed.loop["triggers"][0]["value"] == 7.0

    asyncio.run(life())


@pytest.mark.parametrize(
    ("retraining", "asked"),
    [
        ({"triggers": [QUERY]}, 1),
        ({"triggers": [QUERY], "suspend": True}, 1),
        ({"triggers": [QUERY], "enabled": False}, 0),
        ({}, 0),
    ],
)
def test_prometheus_is_asked_for_loops_that_are_on(retraining: dict[str, Any], asked: int) -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(**retraining)
        assert len(await look(deployed, 1.0)) == asked

    asyncio.run(life())


def test_labels_count_since_the_last_run() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[{"name": "labels", "type": "newData", "minNewSamples": 100}])
        (before,) = await look(deployed, 5.0, later=DAY)
        assert "[86400s]" in before
        await deployed.ask()
        (after,) = await look(deployed, 5.0, later=3600.0)
        assert "[3600s]" in after

    asyncio.run(life())


def test_a_query_that_nobody_can_ask_is_refused() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        bad = QUERY | {"query": 'sum(complaints{model="{{pod}}"})'}
        await deployed.change(retraining=deployed.stored["spec"]["retraining"] | {"triggers": [bad]})
        assert deployed.condition("Accepted") == ("False", "InvalidQuery")
        ModelDeployment.from_wire(deployed.stored)

    asyncio.run(life())
