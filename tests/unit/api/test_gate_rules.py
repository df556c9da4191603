"""The rules of gates, copies and the golden set at their borders: what they just allow, and what they just refuse, with the field that is called wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tuneloop_api.v1alpha1.model_deployment.gates import Gate
from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
from tuneloop_api.v1alpha1.model_deployment.spec import ModelDeploymentSpec
from tuneloop_api.wire.model import SpecModel

Given = dict[str, Any]
ERRORS: Given = {"name": "errors", "metric": "Errors", "margin": 0.01}
AGREEMENT: Given = {"name": "agreement", "metric": "Agreement", "margin": 0.3}
QUALITY: Given = {"name": "quality", "metric": "GenerationQuality", "margin": 0.03}
GOLDEN: Given = {"name": "golden", "metric": "GoldenAccuracy", "margin": 0.03}
LATE: Given = {"name": "late", "metric": "FeedbackAccuracy", "margin": 0.02}
QUERY: Given = {"name": "query", "query": 'sum(a{revision="{{revision}}"})', "margin": -2}
SPEC: Given = {"model": {"uri": "pvc://models/a"}}
ROLLED: Given = SPEC | {"rollout": {}}
ACCURACY, NEW_DATA, DRIFT = (
    {"retraining": {"triggers": [{"name": "a", "type": "manual"}, {"name": "b"} | trigger]}}
    for trigger in (
        {"type": "accuracy", "below": 0.9},
        {"type": "newData", "minNewSamples": 5},
        {"type": "drift"},
    )
)
GOLDEN_SET: Given = {"evaluation": {"goldenSet": {"uri": "pvc://models/golden.jsonl"}}}

RULES: list[tuple[type[SpecModel], Given, list[str]]] = [
    (Gate, ERRORS, []),
    (Gate, QUERY, []),
    (Gate, ERRORS | {"query": QUERY["query"]}, [""]),
    (Gate, {"name": "a", "margin": 0.01}, [""]),
    (Gate, ERRORS | {"margin": 0.999}, []),
    (Gate, ERRORS | {"margin": 1}, ["margin"]),
    (Gate, ERRORS | {"margin": 0}, ["margin"]),
    (Gate, QUERY | {"query": 'sum(a{revision="{{ revision }}"})'}, []),
    (Gate, QUERY | {"query": "sum(a)"}, ["query"]),
    (Gate, QUERY | {"query": "sum(a)", "compare": "Stable"}, ["query"]),
    (Gate, QUERY | {"query": "sum(a)", "compare": "Absolute"}, []),
    (Gate, ERRORS | {"compare": "Stable"}, ["compare"]),
    (Gate, QUERY | {"alpha": 0.05}, ["alpha"]),
    (Gate, AGREEMENT | {"similarity": 0.05}, []),
    (Gate, AGREEMENT | {"similarity": 1}, []),
    (Gate, AGREEMENT | {"similarity": 0}, ["similarity"]),
    (Gate, AGREEMENT | {"similarity": 1.05}, ["similarity"]),
    (Gate, ERRORS | {"similarity": 0.5}, ["similarity"]),
    (Gate, QUERY | {"similarity": 0.5}, ["similarity"]),
    (RolloutOptions, {"gates": [ERRORS, GOLDEN]}, []),
    (RolloutOptions, {"gates": [ERRORS, GOLDEN | {"name": "errors"}]}, ["gates"]),
    (RolloutOptions, {"strategy": "Recreate", "gates": [GOLDEN, QUERY]}, []),
    (RolloutOptions, {"strategy": "Recreate", "gates": [GOLDEN, ERRORS]}, ["gates"]),
    (RolloutOptions, {"strategy": "BlueGreen", "gates": [ERRORS], "shadow": {"minRequests": 500}}, []),
    (RolloutOptions, {"gates": [ERRORS], "shadow": {"percent": 50}}, []),
    (RolloutOptions, {"gates": [ERRORS], "shadow": {"minRequests": 500}}, ["shadow.minRequests"]),
    (RolloutOptions, {"gates": [GOLDEN, QUERY], "shadow": {}}, ["shadow"]),
    (RolloutOptions, {"strategy": "BlueGreen", "shadow": {}}, ["shadow"]),
    (RolloutOptions, {"strategy": "Shadow", "shadow": {"minRequests": 1}, "steps": [{"weight": 100}]}, []),
    (RolloutOptions, {"strategy": "Shadow", "capacity": "Replace"}, []),
    (ModelDeploymentSpec, SPEC | {"rollout": {"gates": [ERRORS]}}, []),
    (ModelDeploymentSpec, SPEC | {"rollout": {"gates": [ERRORS, GOLDEN]}}, ["rollout.gates"]),
    (ModelDeploymentSpec, SPEC | {"rollout": {"gates": [GOLDEN]}, "evaluation": {}}, ["rollout.gates"]),
    (ModelDeploymentSpec, SPEC | {"rollout": {"gates": [QUALITY]}}, ["rollout.gates"]),
    (ModelDeploymentSpec, SPEC | GOLDEN_SET | {"rollout": {"gates": [QUALITY]}}, []),
    (RolloutOptions, {"strategy": "Recreate", "gates": [QUALITY]}, []),
    (ModelDeploymentSpec, SPEC | GOLDEN_SET | {"rollout": {"gates": [GOLDEN], "onThinTraffic": "Replay"}}, []),
    (ModelDeploymentSpec, SPEC | {"rollout": {"onThinTraffic": "Replay"}}, ["rollout.onThinTraffic"]),
    (ModelDeploymentSpec, SPEC | {"rollout": {"onThinTraffic": "Hold"}}, []),
    (ModelDeploymentSpec, SPEC | {"rollout": {"gates": [LATE]}, "feedback": {}}, []),
    (ModelDeploymentSpec, SPEC | {"rollout": {"gates": [LATE]}, "feedback": {"enabled": True}}, []),
    (ModelDeploymentSpec, SPEC | {"rollout": {"gates": [LATE]}, "feedback": {"enabled": False}}, ["rollout.gates"]),
    (ModelDeploymentSpec, SPEC | {"rollout": {"gates": [LATE]}}, ["rollout.gates"]),
    (ModelDeploymentSpec, SPEC | {"feedback": {"labelDelay": "0s"}}, ["feedback.labelDelay"]),
    (ModelDeploymentSpec, SPEC | {"monitoring": {"baselineWindow": "7d"}}, []),
    (ModelDeploymentSpec, SPEC | {"monitoring": {"baselineWindow": "0h"}}, ["monitoring.baselineWindow"]),
    (ModelDeploymentSpec, SPEC | {"monitoring": {}, "image": "a", "runtime": {"type": "Custom"}}, ["monitoring"]),
    (ModelDeploymentSpec, SPEC | {"feedback": {}, "image": "a", "runtime": {"type": "Custom"}}, ["feedback"]),
    *(
        (ModelDeploymentSpec, ROLLED | triggers | given, wrong)
        for triggers in (ACCURACY, NEW_DATA)
        for given, wrong in (
            ({"feedback": {}}, []),
            ({"feedback": {"enabled": True}}, []),
            ({"feedback": {"enabled": False}}, ["retraining.triggers"]),
            ({"monitoring": {}}, ["retraining.triggers"]),
        )
    ),
    (ModelDeploymentSpec, ROLLED | DRIFT | {"monitoring": {}}, []),
    (ModelDeploymentSpec, ROLLED | DRIFT | {"feedback": {}}, ["retraining.triggers"]),
    (RolloutOptions, {"strategy": "Recreate", "gates": [LATE]}, []),
    (RolloutOptions, {"gates": [LATE], "shadow": {}}, ["shadow"]),
    (ModelDeploymentSpec, SPEC | {"rollout": {"strategy": "Shadow"}, "expose": {"stickyHeader": "x-user"}}, []),
]  # fmt: skip


@pytest.mark.parametrize(("model", "given", "wrong"), RULES)
def test_a_rule_of_gates_calls_one_field_wrong_just_behind_its_border(
    model: type[SpecModel], given: Given, wrong: list[str]
) -> None:
    assert wrong_fields(model, given) == wrong


def wrong_fields(model: type[SpecModel], given: Given) -> list[str]:
    """Return the paths of the fields that are called wrong."""
    try:
        model.from_wire(given)
    except ValidationError as error:
        return [".".join(map(str, details["loc"])) for details in error.errors()]
    return []
