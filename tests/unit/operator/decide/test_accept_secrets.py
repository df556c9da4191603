"""A job names at most one Secret for each kind of storage, and no variable that a Secret gives."""

from __future__ import annotations

from typing import Any

import pytest
from refusal_sentences import SETTINGS

from tuneloop_api.v1alpha1 import FineTuneJobSpec, ModelDeploymentSpec
from tuneloop_api.wire.object_credentials import CREDENTIALS
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals


def source(uri: str, secret: str | None) -> dict[str, Any]:
    return {"uri": uri} | ({"secretRef": {"name": secret}} if secret else {})


def refused(*train: dict[str, Any], **fields: Any) -> list[str]:
    spec = {"model": {"uri": "pvc://c/m"}, "task": "text-classification", "data": {"train": list(train)}} | fields
    return [f"{refusal.reason}: {refusal}" for refusal in job_refusals(FineTuneJobSpec.from_wire(spec), SETTINGS)]


OURS, THEIRS = source("s3://a-bucket/a.csv", "ours"), source("s3://b-bucket/b.csv", "theirs")
TWO = "TwoSecrets: {}.secretRef.name: found 'theirs'; one Secret for all s3:// addresses of a job, whose credentials may read them all; an earlier one names 'ours'; for example secretRef: {{name: ours}}"


@pytest.mark.parametrize(
    ("train", "fields", "expected"),
    [
        pytest.param([OURS, source("s3://b-bucket/b.csv", "ours")], {}, [], id="the same Secret twice"),
        pytest.param([source("s3://b-bucket/b.csv", None), OURS], {}, [], id="one of two names a Secret"),
        pytest.param([OURS, source("gs://b-bucket/b.csv", "theirs")], {}, [], id="one Secret for each kind of storage"),
        pytest.param([OURS], {"model": {"uri": "hf://a/b", "secretRef": {"name": "hub"}}}, [], id="the token of the hub beside"),
        pytest.param([OURS, THEIRS], {}, [TWO.format("spec.data.train[1]")], id="two Secrets"),
        pytest.param([THEIRS], {"model": source("s3://c-bucket/bert", "ours")}, [TWO.format("spec.data.train[0]")], id="another Secret than the model's"),
        pytest.param(
            [OURS], {"evaluation": {"compareWith": {"uri": "pvc://c/a", "recent": [THEIRS]}}}, [TWO.format("spec.evaluation.compareWith.recent[0]")],
            id="another Secret for recent rows",
        ),
    ],
)  # fmt: skip
def test_one_secret_opens_all_buckets_of_a_kind(train: list[Any], fields: dict[str, Any], expected: list[str]) -> None:
    assert refused(*train, **fields) == expected


@pytest.mark.parametrize(
    ("scheme", "name"), [(scheme, name) for scheme, names in CREDENTIALS.items() for name in names.credentials]
)
def test_a_variable_that_a_secret_gives_is_refused(scheme: str, name: str) -> None:
    found = source(f"{scheme}a-bucket/a.csv", "ours")
    env = [{"name": "A", "value": "b"}, {"name": name, "value": "b"}]
    (sentence,) = refused(found, env=env)
    assert sentence.startswith(
        f"InvalidVariable: spec.env[1].name: found '{name}'; data.train[0].secretRef gives prepare this variable; leave one of the two out"
    )
    assert refused(source(found["uri"], None), env=env) == []


@pytest.mark.parametrize(
    ("scheme", "name"), [(scheme, name) for scheme, names in CREDENTIALS.items() for name in names.places]
)
def test_where_the_storage_is_may_stand_beside_its_secret(scheme: str, name: str) -> None:
    assert refused(source(f"{scheme}a-bucket/a.csv", "ours"), env=[{"name": name, "value": "https://a"}]) == []


def test_a_variable_that_the_secret_of_the_feedback_gives_to_servers_is_refused() -> None:
    storage = {"uri": "s3://labels/team-a", "secretRef": {"name": "ours"}}
    spec = {
        "model": {"uri": "pvc://models/a"},
        "feedback": {"storeInputs": "all", "storage": storage},
        "env": [{"name": "AWS_REGION", "value": "eu-central-1"}, {"name": "AWS_SECRET_ACCESS_KEY", "value": "b"}],
    }
    (refusal,) = deployment_refusals(ModelDeploymentSpec.from_wire(spec), SETTINGS)
    assert f"{refusal.reason}: {refusal}".startswith(
        "InvalidVariable: spec.env[1].name: found 'AWS_SECRET_ACCESS_KEY'; feedback.storage.secretRef gives servers this variable; leave one of the two out"
    )
