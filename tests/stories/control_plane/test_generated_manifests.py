"""Random manifests from the models' own schema: what the API server accepts the operator can work with, what it refuses it refuses with a path.

"Can work with" goes as far as the children: the API server takes every object that the operator would make of it.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from manifest_cases import random_value, smallest

from tuneloop_api.v1alpha1 import API_VERSION, FineTuneJob, ModelDeployment
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.fine_tune_job.job import decide as decide_job
from tuneloop_operator.decide.model_deployment.deployment import decide as decide_deployment
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.config_map import run_config_map
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import ObservedDeployment, ObservedJob

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STRICT = {"dryRun": "All", "fieldValidation": "Strict"}
SETTINGS = OperatorSettings(default_claim="default")
RESULT = {"path": "/tuneloop/claims/models/prepare.json", "sha256": "b" * 64}
ENDED = {"uid": "2", "ended": True, "result": RESULT}
PATHS = {
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Service": "/api/v1/namespaces/{}/services",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
}
SCHEMAS = {kind: kind.model_json_schema(by_alias=True) for kind in (FineTuneJob, ModelDeployment)}
A_FIELD = re.compile(r"\.?(spec|metadata)\.[A-Za-z]")
"""The API server's own check of the scale subresource puts a dot before the path."""
MANY = settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def statuses():
    """Collects the status of each reply; there must be enough of both kinds to have shown something."""
    statuses = []
    yield statuses
    accepted = sum(status == 201 for status in statuses)
    print(f"{accepted} of {len(statuses)} were accepted")
    assert min(accepted, len(statuses) - accepted) >= 30


@MANY
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_any_job(custom_resources, namespace, statuses, seed):
    stored = judged(custom_resources, namespace, generated(FineTuneJob, seed), statuses)
    if stored is None:
        return
    job = FineTuneJob.from_wire(stored)
    decision = decide_job(ObservedJob(job=job, manifest=stored, present={}, live=True), now=NOW, settings=SETTINGS)
    refused = [
        condition
        for condition in decision.status.get("conditions", ())
        if (condition["type"], condition["status"]) == ("Accepted", "False")
    ]
    assert bool(decision.create) == (not refused and not job.spec.suspend), decision
    for line in [line for condition in refused for line in condition["message"].splitlines()]:
        assert A_FIELD.match(line), line
        assert "; for example " in line, line
    reasons = {refusal.reason for refusal in job_refusals(job.spec, SETTINGS)}
    if reasons & {"InvalidObject", "InvalidResources"}:
        return  # an object of Kubernetes or an amount that Kubernetes would not take; other refusals are about what no pod holds
    children = {"prepare": ENDED | {"name": "a-prepare"}, "train": ENDED | {"name": "a-a1"}}
    later = FineTuneJob.from_wire(stored | {"status": {"attempt": 1, "children": children}})
    for child in [*decision.apply, *decision.create, *later_children(later)]:
        taken(custom_resources, namespace, child)


@MANY
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_any_deployment(custom_resources, namespace, statuses, seed):
    stored = judged(custom_resources, namespace, generated(ModelDeployment, seed), statuses)
    if stored is None:
        return
    observed = ObservedDeployment(
        deployment=ModelDeployment.from_wire(stored), manifest=stored, source=None, present={}, live=True
    )
    decision = decide_deployment(observed, now=NOW, settings=SETTINGS)
    for child in [*decision.apply, *decision.create]:
        taken(custom_resources, namespace, child)


def generated(kind, seed):
    schema, chance = SCHEMAS[kind], Random(seed)
    spec = random_value(chance, schema, schema["properties"]["spec"])
    if (
        kind is ModelDeployment and chance.random() < 0.9
    ):  # by chance alone two of three have both sources of the model, or none
        spec["model"] = {"uri": "pvc://a/b"} | {
            name: spec["model"][name] for name in ("pin", "digest") if name in spec["model"]
        }
    if kind is FineTuneJob and chance.random() < 0.9:  # by chance alone hardly any job has options of its own task only
        spec.pop("taskOptions", None)
    if (
        kind is FineTuneJob and chance.random() < 0.9
    ):  # by chance alone hardly any space fits the rest, most tasks pack no rows, most sources have no cutoff
        spec.pop("search", None)
        spec.get("data", {}).pop("packing", None)
        for source in spec.get("data", {}).get("train", ()):
            source.pop("cutoff", None)
            source.pop("window", None)
    return smallest(kind) | {"spec": spec}


def judged(plane, namespace, manifest, statuses):
    """Return the object as the API server would store it, or None if it refuses it, which it must do with a path for each mistake."""
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{manifest['kind'].lower()}s"
    reply = plane.request("POST", path, json.dumps(manifest), STRICT)
    statuses.append(reply.status)
    if reply.status == 201:
        return reply.body
    assert reply.status == 422, reply.body
    fields = [cause["field"] for cause in reply.body["details"]["causes"]]
    assert all(A_FIELD.match(field) or field == "<nil>" for field in fields), fields
    assert any(A_FIELD.match(field) for field in fields), (
        fields
    )  # `<nil>` says that rules were not checked, beside the mistake
    return None


def later_children(job):
    storage = storage_of(job.spec, default_claim=SETTINGS.default_claim)
    shared = {"storage": storage, "settings": SETTINGS}
    yield run_config_map(job, stage="train", attempt=1, **shared)
    yield train_job(job, attempt=1, **shared)
    yield run_config_map(job, stage="export", attempt=0, **shared)
    yield stage_job(job, stage="export", **shared)


def taken(plane, namespace, child):
    reply = plane.request("POST", PATHS[child["kind"]].format(namespace), child, STRICT)
    assert reply.status == 201, (child["kind"], reply.body)
