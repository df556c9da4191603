"""Variables that a cluster reads from a Secret: one machine names what it takes instead, and what is not there."""

from __future__ import annotations

import pytest
from local_manifests import fine_tune_job

from tuneloop_cli.local.overlay import ANNOTATION, Hardware, overlay, without_cluster_fields
from tuneloop_cli.local.references import missing, notes

CPU = {"gpusPerNode": 0}
REFERENCE = {"name": "trackers", "key": "api-key"}
ENV = [
    {"name": "PLAIN", "value": "1"},
    {"name": "WANDB_API_KEY", "secretKeyRef": REFERENCE},
    {"name": "HTTPS_PROXY", "configMapKeyRef": REFERENCE | {"optional": True}},
]
HUB = {"uri": "hf://org/gated", "secretRef": {"name": "hub"}}
NOTE = (
    "spec.model.secretRef, spec.env[1].secretKeyRef, spec.env[2].configMapKeyRef: no Secret or ConfigMap is read, "
    "the environment of this command gives HF_TOKEN, WANDB_API_KEY, HTTPS_PROXY"
)


def test_one_sentence_names_fields_and_variables_and_the_manifest_stays():
    manifest = fine_tune_job(resources=CPU, model=HUB, env=ENV)
    fitted = overlay(manifest, Hardware(gpus=0, ranks=2))
    assert fitted.lines == (NOTE,)
    assert fitted.manifest["spec"] == manifest["spec"]
    assert ANNOTATION in fitted.manifest["metadata"]["annotations"]


def test_a_deployment_says_the_same():
    deployment = {"kind": "ModelDeployment", "metadata": {"name": "a"}, "spec": {"model": {}, "env": ENV[:2]}}
    assert len(without_cluster_fields(deployment, Hardware(gpus=0, ranks=2)).lines) == 1


def test_plain_values_need_no_word():
    assert notes({"model": {"uri": "a"}, "env": ENV[:1]}) == []
    manifest = fine_tune_job(resources=CPU, env=ENV[:1])
    assert overlay(manifest, Hardware(gpus=0, ranks=2)).manifest is manifest


@pytest.mark.parametrize(
    ("environment", "fields"),
    [
        ({}, ["spec.model.secretRef", "spec.env[1].secretKeyRef"]),
        ({"HF_TOKEN": "canary"}, ["spec.env[1].secretKeyRef"]),
        ({"HF_TOKEN": "canary", "WANDB_API_KEY": ""}, []),
    ],
)
def test_a_variable_that_is_not_there_is_named(environment, fields):
    found = missing({"model": HUB, "env": ENV}, environment)
    assert [refusal.field for refusal in found] == fields
    assert "canary" not in str(found)
    for refusal in found:
        name = "HF_TOKEN" if "model" in refusal.field else "WANDB_API_KEY"
        assert f"found no variable {name} in the environment of this command" in str(refusal)
        assert str(refusal).endswith(f"for example export {name}=…")


@pytest.mark.parametrize(
    ("environment", "variables"),
    [
        ({}, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_SERVICE_ACCOUNT_KEY"]),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "canary", "GOOGLE_SERVICE_ACCOUNT_KEY": "{}"}, []),
    ],
)
def test_what_a_secret_for_a_bucket_must_hold_is_taken_from_the_environment(environment, variables):
    secret = {"secretRef": {"name": "reviews"}}
    spec = {
        "model": {"uri": "pvc://models/a"},
        "data": {"train": [{"uri": "pvc://models/b.csv"}, {"uri": "s3://bucket/a"} | secret]},
        "evaluation": {"compareWith": {"uri": "pvc://a/b", "recent": [{"uri": "gs://bucket/a"} | secret]}},
    }
    found = missing(spec, environment)
    assert [str(refusal).rpartition("export ")[2].removesuffix("=…") for refusal in found] == variables
    fields = {refusal.field for refusal in found}
    assert fields <= {"spec.data.train[1].secretRef", "spec.evaluation.compareWith.recent[0].secretRef"}
    assert "canary" not in str(notes(spec))


def test_what_opens_the_bucket_of_feedback_is_taken_from_the_environment():
    storage = {"uri": "s3://labels/team-a", "secretRef": {"name": "labels-bucket"}}
    spec = {"model": {"uri": "pvc://a/b"}, "feedback": {"storeInputs": "all", "storage": storage}}
    found = missing(spec, {"AWS_ACCESS_KEY_ID": "a"})
    assert [(refusal.field, refusal.example) for refusal in found] == [
        ("spec.feedback.storage.secretRef", "export AWS_SECRET_ACCESS_KEY=…")
    ]
    assert missing(spec | {"feedback": {"storage": {"uri": storage["uri"]}}}, {}) == []
