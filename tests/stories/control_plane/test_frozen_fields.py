"""Which fields of a FineTuneJob are frozen once it has started, on the real API server."""

from __future__ import annotations

import pytest
from custom_objects import (
    SMALLEST,
    TRAIN,
    create,
    patch,
    resource,
    start,
)

from tuneloop_api.crd import generator as crd
from tuneloop_api.v1alpha1 import FineTuneJob

SEARCH = {"space": [{"path": "training.dropout", "type": "float", "low": 0, "high": 0.3}]}
# For each field of a FineTuneJob that is frozen once it has started: two values.
FROZEN = {
    "task": ("token-classification", "text-classification"),
    "model": ({"uri": "hf://google-bert/bert-base-uncased"}, {"uri": "pvc://models/bert"}),
    "data": ({"train": [{"uri": "pvc://models/other.csv"}]}, {"train": [TRAIN, TRAIN]}),
    "method": ({"type": "lora"}, {"type": "full"}),
    "training": ({"epochs": 1}, {"epochs": 1.5}),
    "search": (SEARCH, SEARCH | {"trials": 7}),
    "evaluation": ({"baselines": False}, {"baselines": True}),
    "deepspeed": ({"stage": 0}, {"stage": 1}),
    "resources": ({"gpusPerNode": 0}, {"gpusPerNode": 1}),
    "image": ("trainer:1", "trainer:2"),
    "storage": ({"claim": "models"}, {"claim": "other"}),
    "checkpoint": ({"keepLast": 1}, {"keepLast": 2}),
    "output": ({"checkpoint": "best"}, {"checkpoint": "last"}),
    "cleanup": ({"checkpoints": "KeepAll"}, {"checkpoints": "Delete"}),
    "preflight": ({"dryRun": False}, {"dryRun": True}),
    "budget": ({"maxGpuHours": 1}, {"maxGpuHours": 2}),
    "failurePolicy.rules": ([{"class": "Hang", "action": "Fail"}], [{"class": "Hang", "action": "Restart"}]),
    "failurePolicy.startDeadline": ("5m", "6m"),
    "failurePolicy.hangTimeout": ("5m", "6m"),
    "scheduling.queueName": ("a", "b"),
    "scheduling.avoidBadNodes": (True, False),
    "scheduling.schedulerName": ("a", "b"),
    "scheduling.nodeSelector": ({"a": "b"}, {"a": "c"}),
    "scheduling.tolerations": ([{"key": "a"}], [{"key": "b"}]),
    "scheduling.affinity": ({"podAffinity": {"a": [1]}}, {"podAffinity": {"a": [2]}}),
    "scheduling.topologySpreadConstraints": ([{"maxSkew": 1}], [{"maxSkew": 2}]),
    "scheduling.runtimeClassName": ("a", "b"),
    "scheduling.hostNetwork": (True, False),
    "imagePullPolicy": ("Always", "Never"),
    "imagePullSecrets": ([{"name": "a"}], [{"name": "b"}]),
    "serviceAccountName": ("a", "b"),
    "labels": ({"a": "b"}, {"a": "c"}),
    "annotations": ({"a": "b"}, {"a": "c"}),
    "env": ([{"name": "A", "value": "1"}], [{"name": "A", "value": "2"}]),
    "network": ({"interface": "eth0"}, {"interface": "net1"}),
    "volumes": tuple([{"name": "a", "mountPath": "/a", "secret": {"secretName": name}}] for name in ("a", "b")),
}

WITH_OTHERS = {"scheduling.minNodes", "scheduling.shrinkAfter", "taskOptions"}  # whose values other fields bound

MUTABLE = {
    "suspend": True,
    "activeDeadlineSeconds": 1,
    "ttlSecondsAfterFinished": 1,
    "scheduling": {"priorityClassName": "low"},
    "failurePolicy": {"maxRestarts": 1, "maxTotalRestarts": 2, "maxDisruptions": 3},
}


def nested(path: str, value: object) -> dict[str, object]:
    """Return the block that has this value at a dotted path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def test_a_refused_spec_can_be_mended_before_the_job_has_started(custom_resources, namespace):
    create(custom_resources, namespace, FineTuneJob)
    for field, values in FROZEN.items():
        for value in values:
            assert patch(custom_resources, namespace, nested(field, value)).status == 200, (field, value)


def test_every_frozen_field_is_tried_below():
    frozen = {
        rule["fieldPath"].removeprefix(".spec.")
        for rule in crd.root_schema(resource(FineTuneJob))["x-kubernetes-validations"]
        if "oldSelf" in rule["rule"]
    }
    assert frozen == FROZEN.keys() | WITH_OTHERS


@pytest.mark.parametrize("field", FROZEN)
def test_a_started_job_refuses_to_change_add_or_drop_a_field(custom_resources, shared_namespace, field):
    first, second = FROZEN[field]
    has, lacks = (f"{state}-{list(FROZEN).index(field)}" for state in ("with", "without"))
    smallest = SMALLEST[FineTuneJob]
    create(custom_resources, shared_namespace, FineTuneJob, name=has, spec=smallest | nested(field, first))
    create(custom_resources, shared_namespace, FineTuneJob, name=lacks)
    for name in (has, lacks):
        start(custom_resources, shared_namespace, name)
    tries = [(has, second), (lacks, first)] + ([] if field in smallest else [(has, None)])
    for name, value in tries:
        refused = patch(custom_resources, shared_namespace, nested(field, value), name=name)
        assert refused.status == 422, (name, value)
        (cause,) = refused.body["details"]["causes"]
        assert (cause["reason"], cause["field"]) == ("FieldValueForbidden", f"spec.{field}")
        assert "is frozen once the job has started" in cause["message"]


def test_a_started_job_still_takes_the_fields_that_are_always_mutable(custom_resources, namespace):
    create(custom_resources, namespace, FineTuneJob)
    start(custom_resources, namespace, "a")
    assert patch(custom_resources, namespace, MUTABLE).status == 200
    assert patch(custom_resources, namespace, dict.fromkeys(MUTABLE)).body["spec"] == SMALLEST[FineTuneJob]
    blocks = {name: block for name, block in MUTABLE.items() if isinstance(block, dict)}
    paths = {f"{above}.{name}" for above, block in blocks.items() for name in block} | MUTABLE.keys() - blocks.keys()
    assert paths == FineTuneJob.mutable_once_started
