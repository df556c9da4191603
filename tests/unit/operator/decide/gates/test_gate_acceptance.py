"""Which deployments with gates are accepted, and what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.v1alpha1 import ModelDeploymentSpec
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.settings.operator import OperatorSettings

ERRORS: dict[str, Any] = {"name": "errors", "metric": "Errors", "margin": 0.01}
CLUSTER, LOCAL = OperatorSettings(), OperatorSettings(local=True)


def refusals(settings: OperatorSettings = CLUSTER, **spec: Any) -> list[str]:
    model = {"model": {"uri": "pvc://models/artifact"}}
    return [str(refusal) for refusal in deployment_refusals(ModelDeploymentSpec.from_wire(model | spec), settings)]


@pytest.mark.parametrize(
    "rollout",
    [
        {"gates": [ERRORS]},
        {"strategy": "BlueGreen", "gates": [ERRORS]},
        {"strategy": "Shadow", "gates": [ERRORS]},
        {"strategy": "Shadow"},
        {"gates": [ERRORS], "steps": [{"weight": 5, "minRequests": 500}, {"weight": 100, "minRequests": 5000}]},
        {"gates": [ERRORS | {"dryRun": True}], "steps": [{"weight": 100, "minRequests": 1}]},
        {"steps": [{"weight": 100, "minRequests": 1}]},
    ],
)
def test_gates_that_can_decide_are_accepted_with_the_defaults(rollout: dict[str, Any]) -> None:
    assert refusals(rollout=rollout) == []


@pytest.mark.parametrize(
    ("rollout", "field"),
    [
        ({"steps": [{"weight": 5}, {"weight": 100, "minRequests": 20}]}, "steps[1].minRequests"),
        ({"strategy": "BlueGreen", "shadow": {"minRequests": 20}}, "shadow.minRequests"),
        ({"strategy": "Shadow", "shadow": {"minRequests": 20}, "steps": [{"weight": 100}]}, "shadow.minRequests"),
        ({"strategy": "Shadow", "steps": [{"weight": 100, "minRequests": 20}]}, "steps[0].minRequests"),
    ],
)
def test_a_number_of_requests_that_cannot_decide_is_refused_by_its_field(rollout: dict[str, Any], field: str) -> None:
    (found,) = refusals(rollout=rollout | {"gates": [ERRORS]})
    assert found.startswith(f"spec.rollout.{field}: found 20; it cannot decide gate errors with a margin of 1 %")


def test_a_margin_that_the_default_cannot_decide_is_refused_with_a_number_that_can() -> None:
    found = refusals(rollout={"gates": [ERRORS | {"margin": 0.004}], "steps": [{"weight": 100}]})
    (sentence,) = found
    assert sentence.startswith("spec.rollout.steps[0].minRequests: found 1000, the default; it cannot decide")
    least = int(sentence.rpartition(" ")[2])
    enough = {"gates": [ERRORS | {"margin": 0.004}], "steps": [{"weight": 100, "minRequests": least}]}
    assert refusals(rollout=enough) == []


def test_one_gate_is_refused_at_a_time() -> None:
    """To find out which number is enough takes long."""
    gates = [ERRORS, {"name": "agreement", "metric": "Agreement", "margin": 0.01}]
    found = refusals(rollout={"gates": gates, "steps": [{"weight": 100, "minRequests": 5}]})
    assert [sentence.count("gate errors") for sentence in found] == [1]


def test_a_golden_set_on_this_machine_is_for_local_mode() -> None:
    golden_set = {"goldenSet": {"uri": "file:///data/golden.jsonl"}}
    assert refusals(LOCAL, evaluation=golden_set) == []
    (found,) = refusals(evaluation=golden_set)
    assert found.startswith("spec.evaluation.goldenSet.uri: found file:///data/golden.jsonl")
