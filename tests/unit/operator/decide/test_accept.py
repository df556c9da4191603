"""What the schema allows, but cannot run here."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.v1alpha1 import FineTuneJobSpec, ModelDeploymentSpec
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.decide.refusal import message_of
from tuneloop_operator.settings.operator import OperatorSettings

CLUSTER = OperatorSettings()
LOCAL = OperatorSettings(local=True, default_claim="default")


def spec(**fields: Any) -> FineTuneJobSpec:
    wire = {
        "model": {"uri": "hf://a/b"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://other/x.csv"}]},
        "storage": {"claim": "models"},
    }
    return FineTuneJobSpec.from_wire(wire | fields)


def test_a_job_that_reads_another_claim_than_it_writes_is_fine() -> None:
    assert job_refusals(spec(), CLUSTER) == ()


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"model": {"uri": "file:///m"}}, "spec.model.uri", "LocalAddress"),
        (
            {"data": {"train": [{"uri": "pvc://c/x.csv"}], "test": [{"uri": "pvc://c/y"}, {"uri": "file:///t.csv"}]}},
            "spec.data.test[1].uri",
            "LocalAddress",
        ),
        (
            {"evaluation": {"compareWith": {"uri": "file:///served"}}},
            "spec.evaluation.compareWith.uri",
            "LocalAddress",
        ),
        (
            {"evaluation": {"compareWith": {"uri": "pvc://c/a", "recent": [{"uri": "file:///week.csv"}]}}},
            "spec.evaluation.compareWith.recent[0].uri",
            "LocalAddress",
        ),
        ({"storage": {}}, "spec.storage.claim", "NoClaim"),
    ],
)
def test_the_refusal_names_field_value_rule_and_example(fields: dict[str, Any], field: str, reason: str) -> None:
    (refusal,) = job_refusals(spec(**fields), CLUSTER)
    assert (refusal.field, refusal.reason) == (field, reason)
    assert str(refusal).startswith(f"{field}: found {refusal.given}; {refusal.allowed}; for example ")
    assert job_refusals(spec(**fields), LOCAL) == ()


@pytest.mark.parametrize(
    ("labels", "fields"),
    [
        (["a", "b"], []),
        (["a", "A"], []),
        (["a", "b", "a", "b"], ["spec.model.labels[2]", "spec.model.labels[3]"]),
        (["caf\u00e9", "cafe\u0301"], ["spec.model.labels[1]"]),
    ],
)
def test_no_two_classes_look_alike(labels: list[str], fields: list[str]) -> None:
    refusals = job_refusals(spec(model={"uri": "hf://a/b", "labels": labels}), LOCAL)
    assert [refusal.field for refusal in refusals] == fields
    assert all(str(refusal).isascii() for refusal in refusals)


@pytest.mark.parametrize(
    ("uri", "settings", "reasons"),
    [
        ("pvc://models/artifact", CLUSTER, []),
        ("file:///artifact", CLUSTER, ["LocalAddress"]),
        ("file:///artifact", LOCAL, []),
        ("hf://a/b", LOCAL, ["NotAnArtifact"]),
    ],
)
def test_only_an_artifact_is_served(uri: str, settings: OperatorSettings, reasons: list[str]) -> None:
    deployment = ModelDeploymentSpec.from_wire({"model": {"uri": uri}})
    assert [refusal.reason for refusal in deployment_refusals(deployment, settings)] == reasons


def test_of_very_many_refusals_the_first_are_named_and_the_rest_counted() -> None:
    refusals = job_refusals(spec(model={"uri": "hf://a/b", "labels": ["x"] * 1000}), LOCAL)
    lines = message_of(refusals).splitlines()
    assert lines[:20] == [str(refusal) for refusal in refusals[:20]]
    assert lines[20:] == ["and 979 more"]
    assert message_of(refusals[:20]).count("\n") == 19


@pytest.mark.parametrize(
    ("rollout", "fields"),
    [
        pytest.param({}, [], id="the default steps within a day"),
        pytest.param({"maxDuration": "40m"}, ["spec.rollout.maxDuration"], id="the default steps"),
        pytest.param({"maxDuration": "40m", "strategy": "BlueGreen"}, [], id="no steps"),
        pytest.param({"steps": [{"weight": 5, "minDuration": "23h"}, {"weight": 9}]}, [], id="a long step"),
        pytest.param(
            {"steps": [{"weight": 5, "minDuration": "12h"}, {"weight": 9, "minDuration": "12h"}]},
            ["spec.rollout.maxDuration"],
            id="steps of a whole day",
        ),
    ],
)
def test_steps_have_room_in_the_time_of_the_whole_roll_out(rollout: dict[str, Any], fields: list[str]) -> None:
    spec = ModelDeploymentSpec.from_wire({"model": {"uri": "pvc://models/artifact"}, "rollout": rollout})
    assert [refusal.field for refusal in deployment_refusals(spec, CLUSTER)] == fields
