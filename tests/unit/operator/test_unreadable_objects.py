"""A stored object that does not fit its model is reported once, in its status and by an event; nothing else happens to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


ADVICE = "Nothing is changed until the object fits: correct it, or upgrade the operator."


def accepted(status: dict[str, Any]) -> dict[str, Any]:
    (condition,) = [condition for condition in status["conditions"] if condition["type"] == "Accepted"]
    return condition


def set_spec(harness: OperatorHarness, **fields: Any) -> None:
    job = harness.job()
    harness.cluster.change(job, spec=job["spec"] | fields)


@pytest.mark.parametrize(
    ("fields", "reason", "line"),
    [
        pytest.param(
            {"storage": {"claim": "models", "tier": "fast"}},
            "UnknownField",
            "spec.storage.tier: found 'fast'; this version of the operator knows no such field; allowed here are claim, subPath",
            id="a field that is not known",
        ),
        pytest.param(
            {"resources": {"nodes": "two"}},
            "InvalidField",
            "spec.resources.nodes: found 'two'; input should be a valid integer",
            id="a value of another type",
        ),
        pytest.param(
            {"data": {"train": [{"uri": "pvc://models/a.csv"}, {"uri": 7}]}},
            "InvalidField",
            "spec.data.train[1].uri: found 7; input should be a valid string",
            id="a value inside a list",
        ),
        pytest.param(
            {"data": {"train": [{"uri": "pvc://models/a.csv", "sheet": 1}]}},
            "UnknownField",
            "spec.data.train[0].sheet: found 1; this version of the operator knows no such field; allowed here are columns, ",
            id="a field that is not known inside a list",
        ),
        pytest.param(
            {"model": {}}, "InvalidField", "spec.model.uri: found nothing; the field is required", id="missing"
        ),
    ],
)
def test_the_condition_names_field_value_and_what_is_allowed(
    harness: OperatorHarness, fields: dict[str, Any], reason: str, line: str
) -> None:
    async def life() -> None:
        harness.submit(**fields)
        await harness.settle()
        condition = accepted(harness.status)
        assert (condition["status"], condition["reason"]) == ("False", reason)
        assert condition["message"].startswith(line)
        assert condition["message"].endswith(ADVICE)
        assert harness.status["phase"] == "Pending"
        assert harness.jobs == set()

    asyncio.run(life())


def test_it_is_reported_once_and_not_tried_again_until_it_changes(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(surprise=1)
        await harness.settle()
        calls = len(harness.cluster.writes), harness.cluster.reads
        await harness.settle(later=3600)
        harness.restart_operator()
        await harness.settle(later=3600)
        assert [(event.type, event.reason) for event in harness.events] == [("Warning", "UnknownField")]
        assert harness.errors == []
        assert (len(harness.cluster.writes), harness.cluster.reads) == calls

    asyncio.run(life())


def test_another_problem_is_another_event(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(surprise=1)
        await harness.settle()
        since = accepted(harness.status)["lastTransitionTime"]
        set_spec(harness, surprise=2)
        await harness.settle(later=60)
        assert ["found 1" in event.message for event in harness.events] == [True, False]
        assert accepted(harness.status)["lastTransitionTime"] == since
        assert harness.status["observedGeneration"] == 2

    asyncio.run(life())


def test_a_gang_that_runs_is_left_alone_and_goes_on_once_the_job_can_be_read_again(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await harness.train()
        before = harness.status
        set_spec(harness, surprise=1)
        await harness.settle()
        assert accepted(harness.status)["status"] == "False"
        unchanged = {
            name: value for name, value in harness.status.items() if name not in {"conditions", "observedGeneration"}
        }
        assert unchanged == {name: before[name] for name in unchanged}
        harness.fail("reviews-a1", exit_code=77)
        await harness.settle(later=600)
        assert harness.jobs == {"reviews-prepare", "reviews-a1"}
        job = harness.job()
        harness.cluster.change(job, spec={name: value for name, value in job["spec"].items() if name != "surprise"})
        await harness.settle(later=60)
        assert accepted(harness.status)["status"] == "True"
        assert "reviews-a2" in harness.jobs

    asyncio.run(life())


def test_a_status_that_does_not_fit_is_kept_and_reported(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        harness.cluster.change(harness.job(), status=harness.status | {"weather": {"is": "fine"}, "attempt": "first"})
        await harness.settle()
        message = accepted(harness.status)["message"]
        assert "status.attempt: found 'first'" in message
        assert (harness.status["attempt"], harness.status["weather"]) == ("first", {"is": "fine"})
        assert harness.jobs == {"reviews-prepare", "reviews-a1"}

    asyncio.run(life())


@pytest.mark.parametrize("conditions", ["none", [7], [{"type": "Accepted"}], [{"type": "Mine", "status": "True"}]])
def test_conditions_that_do_not_fit_do_not_keep_the_problem_from_being_written(
    harness: OperatorHarness, conditions: Any
) -> None:
    async def life() -> None:
        harness.submit(surprise=1)
        harness.cluster.change(harness.job(), status={"conditions": conditions})
        await harness.settle()
        assert accepted(harness.status)["reason"] == "UnknownField"

    asyncio.run(life())


def test_a_status_that_the_api_server_refuses_is_written_without_what_does_not_fit(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await harness.train()
        harness.cluster.change(harness.job(), status=harness.status | {"phase": "Raining"})
        harness.cluster.refused_phases = {"Raining"}
        await harness.settle()
        await harness.settle(later=31)
        assert harness.status["phase"] == "Running"
        assert harness.status["attempt"] == 1
        assert accepted(harness.status)["status"] == "True"

    asyncio.run(life())


def test_a_deployment_that_cannot_be_read_keeps_its_servers(harness: OperatorHarness) -> None:
    async def life() -> None:
        metadata = {"name": "api", "namespace": "team-a"}
        manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
        stored = harness.cluster.add(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"}}})
        await harness.settle()
        servers = harness.cluster.of_kind("Deployment")
        harness.cluster.change(stored, spec=stored["spec"] | {"surprise": 1})
        await harness.settle()
        assert (
            accepted(harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"])["reason"] == "UnknownField"
        )
        assert harness.cluster.of_kind("Deployment") == servers

    asyncio.run(life())


def test_a_deployment_of_a_job_that_cannot_be_read_says_so(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(surprise=1)
        metadata = {"name": "api", "namespace": "team-a"}
        manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
        harness.cluster.add(manifest | {"spec": {"model": {"fineTuneJobRef": {"name": "reviews"}}}})
        await harness.settle()
        conditions = harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"]["conditions"]
        (available,) = [condition for condition in conditions if condition["type"] == "ModelAvailable"]
        assert available["reason"] == "JobNotReadable"
        assert "spec.surprise: found 1" in available["message"]

    asyncio.run(life())


def test_an_object_that_is_being_deleted_is_not_reported(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(surprise=1)
        job = harness.job()
        harness.cluster.change(
            job, metadata=job["metadata"] | {"deletionTimestamp": harness.stamp(), "finalizers": ["x"]}
        )
        await harness.settle()
        assert harness.status == {}

    asyncio.run(life())
