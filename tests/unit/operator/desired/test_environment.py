"""The environment of pods: ours, the administrator's and the object's variables; secrets are references in every object."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuneloop_api.contract.defaults import as_set, config_hash
from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.config_map import run_config_map
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config, server_deployment
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.pod_defaults import PodDefaults

Fields = dict[str, Any]
METADATA: Fields = {"name": "reviews", "namespace": "team-a", "uid": "11111111-2222-3333-4444-555555555555"}
MINIMAL: Fields = {
    "model": {"uri": "hf://org/gated"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
}
SECRET = {"name": "trackers", "key": "api-key"}
ENV: list[Fields] = [
    {"name": "WANDB", "secretKeyRef": SECRET},
    {"name": "CONFIG", "configMapKeyRef": SECRET | {"optional": True}},
    {"name": "PLAIN", "value": "$(POD_NAME)"},
    {"name": "EMPTY", "value": ""},
]
WRITTEN: list[Fields] = [
    {"name": "WANDB", "valueFrom": {"secretKeyRef": SECRET}},
    {"name": "CONFIG", "valueFrom": {"configMapKeyRef": SECRET | {"optional": True}}},
    {"name": "PLAIN", "value": "$(POD_NAME)"},
    {"name": "EMPTY", "value": ""},
]
SECRET_NAMES = {"name": "TUNELOOP_SECRET_VARIABLES", "value": "WANDB"}
SETTINGS = OperatorSettings(default_claim="models")
STAGES = ("prepare", "train", "export")
POD_NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


def with_defaults(*env: Fields) -> OperatorSettings:
    return OperatorSettings(default_claim="models", pod_defaults=PodDefaults.from_wire({"env": list(env)}))


def a_job(**fields: Any) -> FineTuneJob:
    return FineTuneJob.from_wire(
        {
            "apiVersion": "tuneloop.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": METADATA,
            "spec": MINIMAL | fields,
        }
    )


def job_children(settings: OperatorSettings = SETTINGS, **fields: Any) -> Fields:
    """Return the Job of each stage."""
    job = a_job(**fields)
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    shared: Fields = {"storage": storage, "settings": settings}
    return {
        "prepare": stage_job(job, stage="prepare", **shared),
        "train": train_job(job, attempt=1, **shared),
        "export": stage_job(job, stage="export", **shared),
        "config": run_config_map(job, stage="prepare", attempt=0, **shared),
    }


def serving(settings: OperatorSettings = SETTINGS, **fields: Any) -> Fields:
    deployment = ModelDeployment.from_wire(
        {
            "apiVersion": "tuneloop.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": METADATA,
            "spec": {"model": {"fineTuneJobRef": {"name": "reviews"}}} | fields,
        }
    )
    config = server_config(deployment, ArtifactReference(uri="pvc://models/artifact", digest=None))
    return server_deployment(deployment, config, settings=settings)


def env_of(child: Fields) -> list[Fields]:
    (container,) = child["spec"]["template"]["spec"]["containers"]
    env: list[Fields] = container["env"]
    assert len({variable["name"] for variable in env}) == len(env)
    return env


def added(settings: OperatorSettings = SETTINGS, **fields: Any) -> dict[str, list[Fields]]:
    """Return what stands in the pods of each stage, and of the servers (`serve`), behind our own variables."""
    plain, given = job_children(), job_children(settings, **fields)
    pairs = {stage: (env_of(plain[stage]), env_of(given[stage])) for stage in STAGES}
    pairs["serve"] = (env_of(serving()), env_of(serving(settings, **fields)))
    assert all(env[: len(ours)] == ours for ours, env in pairs.values())
    return {name: env[len(ours) :] for name, (ours, env) in pairs.items()}


def test_variables_reach_every_stage_and_servers_in_the_form_of_kubernetes() -> None:
    assert added(env=ENV) == {stage: [SECRET_NAMES, *WRITTEN] for stage in STAGES} | {"serve": WRITTEN}


def test_ours_come_first_so_that_a_value_may_name_them() -> None:
    for child in (*(job_children(env=ENV)[stage] for stage in STAGES), serving(env=ENV)):
        assert POD_NAME in env_of(child)[:3]
    assert [variable["name"] for variable in env_of(job_children(env=ENV)["train"])].index("NODE_RANK") == 4


def test_without_a_secret_the_trainer_gets_no_names_of_secrets() -> None:
    assert added(env=ENV[1:])["train"] == WRITTEN[1:]


@pytest.mark.parametrize("empty", [{}, {"env": []}])
def test_no_variable_changes_no_pod_and_no_revision(empty: Fields) -> None:
    assert job_children(**empty) == job_children()
    assert serving(**empty) == serving()


def test_the_administrators_variables_reach_all_pods_and_those_of_the_object_win() -> None:
    proxies = [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, {"name": "WANDB", "value": "none"}]
    settings = with_defaults(*proxies, {"name": "KEY", "secretKeyRef": SECRET})
    found = added(settings, env=ENV[:1])
    key = {"name": "KEY", "valueFrom": {"secretKeyRef": SECRET}}
    for env in found.values():
        assert [variable for variable in env if variable["name"] != SECRET_NAMES["name"]] == [
            proxies[0],
            WRITTEN[0],
            key,
        ]
    assert found["export"][0] == SECRET_NAMES | {"value": "WANDB,KEY"}
    assert serving(settings)["metadata"]["name"] == serving()["metadata"]["name"]


def test_no_variable_of_others_takes_the_place_of_ours() -> None:
    """Such a variable is refused; a stored object may have it all the same."""
    names = ("HOME", "NODE_RANK", "TUNELOOP_SECRET_VARIABLES", "LD_PRELOAD")
    assert set(map(len, added(env=[{"name": name, "value": "x"} for name in names]).values())) == {0}


@pytest.mark.parametrize(("given", "key"), [({}, "token"), ({"key": "HF"}, "HF")])
def test_prepare_alone_gets_the_token_of_the_hub(given: Fields, key: str) -> None:
    fields = {"model": MINIMAL["model"] | {"secretRef": {"name": "hub"} | given}}
    made, plain = job_children(**fields), job_children()
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": key}}}
    assert env_of(made["prepare"]) == [*env_of(plain["prepare"]), token]
    assert {name: made[name] for name in ("train", "export", "config")} == {
        name: plain[name] for name in ("train", "export", "config")
    }


BUCKET = {"uri": "s3://bucket/rows.csv", "secretRef": {"name": "reviews"}}
OF_S3 = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"]


def of_secret(name: str, secret: str, **optional: bool) -> Fields:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name} | optional}}


def names_in_prepare(settings: OperatorSettings | None = None, **fields: Any) -> list[str]:
    """Return the names of the variables of `prepare` that open a bucket."""
    made = job_children(settings, **fields) if settings else job_children(**fields)
    return [variable["name"] for variable in env_of(made["prepare"]) if "secretKeyRef" in variable.get("valueFrom", {})]


def test_prepare_alone_gets_what_opens_a_bucket_and_lacks_no_required_key() -> None:
    made, plain = job_children(data={"train": [BUCKET]}), job_children(data={"train": [{"uri": BUCKET["uri"]}]})
    further = [
        of_secret(name, "reviews", **({"optional": True} if number > 1 else {})) for number, name in enumerate(OF_S3)
    ]
    assert env_of(made["prepare"]) == [*env_of(plain["prepare"]), *further]
    assert {name: made[name] for name in ("train", "export", "config")} == {
        name: plain[name] for name in ("train", "export", "config")
    }


def test_each_kind_of_storage_has_its_secret_and_each_variable_stands_once() -> None:
    sources = [
        BUCKET,
        BUCKET | {"uri": "s3://other/b.csv"},
        {"uri": "gs://bucket/c.csv", "secretRef": {"name": "google"}},
    ]
    model = {"uri": "az://models/bert", "secretRef": {"name": "azure"}}
    found = names_in_prepare(model=model, data={"train": sources[:2], "test": sources[2:]})
    assert set(found) > {
        *OF_S3,
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
    }
    assert len(found) == len(set(found))
    assert "HF_TOKEN" not in found


def test_where_a_bucket_is_may_stand_in_the_variables_of_all() -> None:
    endpoint = {"name": "AWS_ENDPOINT_URL", "value": "https://minio.example.com"}
    assert names_in_prepare(data={"train": [BUCKET]}, env=[endpoint]) == [*OF_S3[:3], "AWS_REGION"]
    found = env_of(job_children(with_defaults(endpoint), data={"train": [BUCKET]})["prepare"])
    assert [variable for variable in found if variable["name"] == "AWS_ENDPOINT_URL"] == [endpoint]


def test_the_token_of_the_job_stands_before_the_administrators() -> None:
    settings = with_defaults({"name": "HF_TOKEN", "value": "public"})
    made = job_children(settings, model=MINIMAL["model"] | {"secretRef": {"name": "hub"}})
    (token,) = [variable for variable in env_of(made["prepare"]) if variable["name"] == "HF_TOKEN"]
    assert "valueFrom" in token
    assert {"name": "HF_TOKEN", "value": "public"} in env_of(made["train"])


def test_variables_and_tokens_are_no_part_of_a_run_but_of_a_servers_revision() -> None:
    model = MINIMAL["model"] | {"secretRef": {"name": "hub"}}
    assert config_hash(as_set(a_job(env=ENV, model=model).spec)) == config_hash(as_set(a_job().spec))
    assert job_children(env=ENV, model=model)["config"] == job_children()["config"]
    assert serving(env=ENV)["metadata"]["name"] != serving()["metadata"]["name"]


def test_no_value_of_a_secret_stands_in_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has no right to read Secrets; not even its own environment reaches a manifest."""
    for name in ("WANDB", "HF_TOKEN", "CONFIG"):
        monkeypatch.setenv(name, "canary-5f0c")
    model = MINIMAL["model"] | {"secretRef": {"name": "hub"}}
    made = json.dumps([job_children(env=ENV, model=model), serving(env=ENV)])
    assert "canary-5f0c" not in made
    assert made.count('"secretKeyRef"') == 5
