"""Loops that cannot teach anything new, or teach themselves in a circle, are refused; the rest goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from operator_harness import SPEC
from retrained_in_memory import Retrained

from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe.retraining import learned_from
from tuneloop_operator.decide.model_deployment.accept_retraining import circle_of

GRAPHS: list[tuple[dict[str, set[str]], list[str]]] = [
    ({}, []),
    ({"a": {"a"}}, []),
    ({"a": {"b"}}, []),
    ({"a": {"b"}, "b": {"a"}}, ["a", "b", "a"]),
    ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, ["a", "b", "c", "a"]),
    ({"a": {"b", "c"}, "b": {"c"}, "c": {"a"}}, ["a", "c", "a"]),
    ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, []),
]


@pytest.mark.parametrize(("graph", "way"), GRAPHS, ids=str)
def test_the_way_of_a_circle(graph: dict[str, set[str]], way: list[str]) -> None:
    assert circle_of({name: frozenset(teachers) for name, teachers in graph.items()}, "a") == way


LIMITED = [{"uri": "pvc://models/a", "limit": 10}]
SOURCES: list[tuple[list[dict[str, Any]], dict[str, Any], tuple[str, str]]] = [
    (LIMITED, {}, ("False", "RetrainingHasNoDataSource")),
    ([*LIMITED, {"uri": "pvc://models/b"}], {}, ("True", "Accepted")),
    ([{"uri": "feedback://films", "limit": 10}], {}, ("True", "Accepted")),
    (LIMITED, {"data": [{"uri": "pvc://models/new"}]}, ("True", "Accepted")),
    (LIMITED, {"data": [{"uri": "feedback://films"}]}, ("True", "Accepted")),
    (LIMITED, {"requireNewData": False}, ("True", "Accepted")),
    (LIMITED, {"enabled": False}, ("True", "Accepted")),
]


@pytest.mark.parametrize(("train", "retraining", "accepted"), SOURCES)
def test_a_loop_needs_data_that_can_grow(
    train: list[dict[str, Any]], retraining: dict[str, Any], accepted: tuple[str, str]
) -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin(enabled=False)
        template = deployed.harness.job("reviews")
        deployed.harness.cluster.change(template, spec=template["spec"] | {"data": {"train": train}})
        spec = deployed.stored["spec"]["retraining"] | {"enabled": True} | retraining
        await deployed.change(retraining=spec)
        assert deployed.condition("Accepted") == accepted
        assert deployed.status["stable"]["revision"] == first

    asyncio.run(life())


def test_only_those_that_a_deployment_learns_from_are_looked_at() -> None:
    store = new_store()
    for name, teachers in {"a": ["b"], "b": ["c", "gone"], "c": ["a"], "other": ["a"]}.items():
        data = [{"uri": f"feedback://{teacher}"} for teacher in teachers]
        metadata = {"name": name, "namespace": "team-a", "uid": name, "resourceVersion": "1"}
        spec = {"retraining": {"enabled": True, "data": data}}
        store.put({"kind": "ModelDeployment", "metadata": metadata, "spec": spec})
    assert learned_from(store, namespace="team-a", name="a") == {"a": {"b"}, "b": {"c", "gone"}, "c": {"a"}}


def test_deployments_that_would_retrain_each_other_are_refused() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        assert deployed.condition("Accepted") == ("True", "Accepted")
        cluster = deployed.harness.cluster
        # the template of `other` is a job that the loop of `api` has made, and that of `api` is one that `other` has made
        for owner, name in (("api", "from-api"), ("other", "from-other")):
            reference = {
                "apiVersion": "tuneloop.dev/v1alpha1",
                "kind": "ModelDeployment",
                "name": owner,
                "uid": "u",
                "controller": True,
            }
            metadata = {"name": name, "namespace": "team-a", "ownerReferences": [reference]}
            job = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata}
            cluster.add(job | {"spec": SPEC | {"suspend": True}})
        metadata = {"name": "other", "namespace": "team-a"}
        retraining = {"enabled": True, "jobTemplateRef": {"name": "from-api"}}
        spec = {"model": {"uri": "pvc://models/b"}, "rollout": {"strategy": "Recreate"}, "retraining": retraining}
        cluster.add(
            {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
        )
        await deployed.change(retraining={"enabled": True, "jobTemplateRef": {"name": "from-other"}})
        assert deployed.condition("Accepted") == ("False", "CycleDetected")
        assert "api <- other <- api" in deployed.message("Accepted")

    asyncio.run(life())


def a_deployment(name: str, **spec: Any) -> dict[str, Any]:
    """Return a deployment without servers: its model is still to come."""
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment"}
    metadata = {"name": name, "namespace": "team-a"}
    given = {"model": {"fineTuneJobRef": {"name": "to-come"}}, "rollout": {"strategy": "Recreate"}}
    return manifest | {"metadata": metadata, "spec": given | spec}


def test_two_deployments_that_add_the_feedback_of_each_other_are_refused() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(enabled=False)
        loop = {"enabled": True, "jobTemplateRef": {"name": "reviews"}, "data": [{"uri": "feedback://api"}]}
        deployed.harness.cluster.add(a_deployment("other", feedback=KEPT, retraining=loop))
        await deployed.change(feedback=KEPT, retraining=loop | {"data": [{"uri": "feedback://other"}]})
        assert deployed.condition("Accepted") == ("False", "CycleDetected")
        assert "api <- other <- api" in deployed.message("Accepted")

    asyncio.run(life())


KEPT = {"storeInputs": "all", "storage": {"claim": "labels"}}
OWN = [{"uri": "feedback://api"}]
OWN_FEEDBACK: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ({"train": OWN}, {}, KEPT, ""),
    ({"train": OWN}, {}, {}, "spec.retraining.jobTemplateRef"),
    ({"train": OWN}, {}, {"storeInputs": "none"}, "spec.retraining.jobTemplateRef"),
    ({"train": [{"uri": "pvc://models/a"}], "test": OWN}, {}, {}, "spec.retraining.jobTemplateRef"),
    ({"train": [{"uri": "pvc://models/a"}]}, {"data": [{"uri": "pvc://models/b"}, *OWN]}, KEPT, ""),
    (
        {"train": [{"uri": "pvc://models/a"}]},
        {"data": [{"uri": "pvc://models/b"}, *OWN]},
        {},
        "spec.retraining.data[1].uri",
    ),
    ({"train": OWN}, {"enabled": False}, {}, ""),
]


@pytest.mark.parametrize(("data", "retraining", "feedback", "field"), OWN_FEEDBACK)
def test_a_deployment_that_learns_from_its_own_feedback_must_keep_it(
    data: dict[str, Any], retraining: dict[str, Any], feedback: dict[str, Any], field: str
) -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin(enabled=False)
        template = deployed.harness.job("reviews")
        deployed.harness.cluster.change(template, spec=template["spec"] | {"data": data})
        spec = deployed.stored["spec"]["retraining"] | {"enabled": True} | retraining
        await deployed.change(retraining=spec, feedback=feedback)
        assert deployed.condition("Accepted") == (("False", "FeedbackNotStored") if field else ("True", "Accepted"))
        if field:
            assert deployed.message("Accepted").startswith(f"{field}: found feedback://api; ")
            assert "spec.feedback.storeInputs must be sample or all" in deployed.message("Accepted")
            assert deployed.status["stable"]["revision"] == first

    asyncio.run(life())


NOT_USABLE: list[tuple[dict[str, Any], str]] = [
    ({"uri": "feedback://films"}, "there is no ModelDeployment films in this namespace"),
    ({"uri": "feedback://other"}, "the ModelDeployment other keeps no feedback"),
    ({"uri": "file:///rows"}, "file:// is a path of one machine"),
]


@pytest.mark.parametrize(("source", "words"), NOT_USABLE)
def test_no_run_starts_whose_job_would_be_refused(source: dict[str, Any], words: str) -> None:
    async def life() -> None:
        deployed = Retrained()
        deployed.harness.cluster.add(a_deployment("other"))
        await deployed.begin(data=[source])
        await deployed.ask()
        assert deployed.condition("Accepted") == ("True", "Accepted")
        assert deployed.place == ("Blocked", "TemplateNotUsable")
        assert words in deployed.loop["message"]
        assert deployed.created == []

    asyncio.run(life())


def test_a_run_starts_once_the_other_deployment_keeps_its_feedback() -> None:
    async def life() -> None:
        deployed = Retrained()
        deployed.harness.cluster.add(a_deployment("other"))
        await deployed.begin(data=[{"uri": "feedback://other"}])
        await deployed.ask()
        assert deployed.place == ("Blocked", "TemplateNotUsable")
        other = deployed.harness.cluster.of_kind("ModelDeployment")["other"]
        deployed.harness.cluster.change(other, spec=other["spec"] | {"feedback": KEPT})
        await deployed.settle()
        assert deployed.job_spec(deployed.run)["data"]["train"][-1]["uri"] == "feedback://other"

    asyncio.run(life())


def test_an_event_says_once_that_a_spec_is_refused() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin()
        template = deployed.harness.job("reviews")
        deployed.harness.cluster.change(template, spec=template["spec"] | {"data": {"train": LIMITED}})
        await deployed.settle()
        await deployed.settle(later=60.0)
        (event,) = [event for event in deployed.harness.events if event.reason == "RetrainingHasNoDataSource"]
        assert event.type == "Warning"
        assert "a source that can grow is needed" in event.message
        deployed.harness.cluster.change(deployed.harness.job("reviews"), spec=template["spec"])
        await deployed.settle()
        assert deployed.condition("Accepted") == ("True", "Accepted")

    asyncio.run(life())
