"""Where a job finds the feedback of a deployment, and what it says where there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from observed_jobs import NOW, SETTINGS, a_job, observed

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe.fine_tune_job import observe, references_of
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.state.observed import Facts

SOURCES = {
    "train": [{"uri": "pvc://models/x.csv"}, {"uri": "feedback://reviews"}],
    "test": [{"uri": "feedback://films"}],
}
KEPT = {"storeInputs": "all", "storage": {"claim": "labels", "subPath": "team-a"}}


def deployment(name: str, feedback: dict[str, Any] | None) -> ModelDeployment:
    spec = {"model": {"uri": "pvc://models/a"}} | ({} if feedback is None else {"feedback": feedback})
    metadata = {"name": name, "namespace": "n", "uid": f"u-{name}", "resourceVersion": "1"}
    kind = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment"}
    return ModelDeployment.from_wire(kind | {"metadata": metadata, "spec": spec})


def accepted(**deployments: Any) -> dict[str, Any]:
    """Decide on a job that reads the feedback of two deployments; return its condition Accepted."""
    found = observed(a_job(data=SOURCES), feedback_deployments=deployments, live=True)
    status = decide(found, now=NOW, settings=SETTINGS).status
    assert status is not None
    return next(condition for condition in status["conditions"] if condition["type"] == "Accepted")


def test_the_job_starts_where_the_deployments_keep_their_feedback() -> None:
    assert accepted(reviews=deployment("reviews", KEPT), films=deployment("films", KEPT))["status"] == "True"


def test_where_the_rows_are_is_chosen_when_the_job_begins() -> None:
    deployments = {name: deployment(name, KEPT) for name in ("reviews", "films")}
    found = observed(a_job(data=SOURCES), feedback_deployments=deployments, live=True)
    status = decide(found, now=NOW, settings=SETTINGS).status
    assert status is not None
    assert status["resolved"]["feedback"] == {name: f"pvc://labels/team-a/feedback/{name}" for name in deployments}


def in_bucket(secret: str) -> dict[str, Any]:
    return {"storeInputs": "all", "storage": {"uri": "s3://labels/team-a", "secretRef": {"name": secret}}}


def test_the_bucket_of_the_rows_and_what_opens_it_are_chosen_when_the_job_begins() -> None:
    deployments = {name: deployment(name, in_bucket("ours")) for name in ("reviews", "films")}
    found = observed(a_job(data=SOURCES), feedback_deployments=deployments, live=True)
    status = decide(found, now=NOW, settings=SETTINGS).status
    assert status is not None
    assert status["resolved"]["feedback"] == {name: f"s3://labels/team-a/feedback/{name}" for name in deployments}
    assert status["resolved"]["feedbackSecrets"] == {"s3://": "ours"}


def prepare_of(job: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the paths in the configuration of `prepare`, and the variables of its pod that are from Secrets."""
    made = decide(observed(job, live=True), now=NOW, settings=SETTINGS).create
    config = next(found for found in made if found["kind"] == "ConfigMap")
    container = next(found for found in made if found["kind"] == "Job")["spec"]["template"]["spec"]["containers"][0]
    sources = {found["name"]: found.get("valueFrom", {}).get("secretKeyRef") for found in container["env"]}
    return json.loads(config["data"]["run.json"])["paths"], {name: key for name, key in sources.items() if key}


def test_prepare_alone_gets_the_address_and_the_credentials() -> None:
    resolved = {
        "storageClaim": "models",
        "feedback": {"reviews": "s3://labels/feedback/reviews"},
        "feedbackSecrets": {"s3://": "ours"},
    }
    status = {"phase": "Preparing", "startTime": "2026-01-01T00:00:00Z", "resolved": resolved}
    paths, secrets = prepare_of(a_job(status, data={"train": [{"uri": "feedback://reviews"}]}))
    assert paths["feedback"] == {"reviews": "s3://labels/feedback/reviews"}
    assert secrets["AWS_SECRET_ACCESS_KEY"] == {"name": "ours", "key": "AWS_SECRET_ACCESS_KEY"}


@pytest.mark.parametrize(
    ("train", "films", "field"),
    [
        ([], "theirs", "spec.data.test[0].uri: found feedback://films, whose bucket the Secret 'theirs' opens"),
        ([{"uri": "s3://b-bucket/x.csv", "secretRef": {"name": "theirs"}}], "ours", "spec.data.train[0].uri: found feedback://reviews, whose bucket the Secret 'ours' opens"),
    ],
    ids=["two deployments", "a file and a deployment"],
)  # fmt: skip
def test_two_secrets_for_one_kind_of_storage_are_refused(train: list[Any], films: str, field: str) -> None:
    data = {"train": [{"uri": "feedback://reviews"}, *train], "test": [{"uri": "feedback://films"}]}
    deployments = {"reviews": deployment("reviews", in_bucket("ours")), "films": deployment("films", in_bucket(films))}
    status = decide(
        observed(a_job(data=data), feedback_deployments=deployments, live=True), now=NOW, settings=SETTINGS
    ).status
    assert status is not None
    refused = next(found for found in status["conditions"] if found["type"] == "Accepted")
    assert (refused["status"], refused["reason"]) == ("False", "TwoSecrets")
    assert refused["message"].startswith(field)


def test_the_recent_rows_of_a_comparison_are_feedback_as_well() -> None:
    beside = {"uri": "pvc://models/champion", "recent": [{"uri": "feedback://reviews"}]}
    job = a_job(evaluation={"compareWith": beside})
    refused = decide(observed(job, live=True), now=NOW, settings=SETTINGS).status
    assert refused is not None
    accepted = next(found for found in refused["conditions"] if found["type"] == "Accepted")
    assert accepted["message"].startswith("spec.evaluation.compareWith.recent[0].uri: found feedback://reviews; ")
    kept = observed(job, feedback_deployments={"reviews": deployment("reviews", KEPT)}, live=True)
    status = decide(kept, now=NOW, settings=SETTINGS).status
    assert status is not None
    assert status["resolved"]["feedback"] == {"reviews": "pvc://labels/team-a/feedback/reviews"}
    manifest = job.to_wire() | {"kind": "FineTuneJob"}
    assert [*references_of(manifest)] == [("ModelDeployment", "reviews")]


def test_local_mode_says_where_the_rows_of_an_earlier_session_are() -> None:
    known = {
        "resolved": {"feedback": {"reviews": "pvc://labels/feedback/reviews", "films": "pvc://labels/feedback/films"}}
    }
    status = decide(observed(a_job(known, data=SOURCES), live=True), now=NOW, settings=SETTINGS).status
    assert status is not None
    assert status["resolved"]["feedback"] == known["resolved"]["feedback"]


@pytest.mark.parametrize(
    ("reviews", "words"),
    [
        (None, "there is no ModelDeployment reviews in this namespace"),
        ("spec.x: is not known", "the ModelDeployment reviews cannot be read (spec.x: is not known)"),
        (deployment("reviews", None), "the ModelDeployment reviews keeps no feedback"),
        (deployment("reviews", {"storeInputs": "none"}), "keeps no feedback"),
        (deployment("reviews", KEPT | {"enabled": False}), "keeps no feedback"),
    ],
)
def test_a_source_whose_feedback_is_not_kept_is_named(reviews: Any, words: str) -> None:
    given = {"films": deployment("films", KEPT)} | ({} if reviews is None else {"reviews": reviews})
    condition = accepted(**given)
    assert (condition["status"], condition["reason"]) == ("False", "FeedbackNotStored")
    assert condition["message"].startswith("spec.data.train[1].uri: found feedback://reviews; ")
    assert words in condition["message"]
    assert "films" not in condition["message"]


def prepare_children() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return run.json and the pod of `prepare` of a job that began with both deployments."""
    status = {
        "startTime": "2026-01-01T12:00:00Z",
        "image": "trainer:1",
        "resolved": {
            "storageClaim": "models",
            "feedback": {"reviews": "pvc://labels/team-a/feedback/reviews", "films": "pvc://models/feedback/films"},
        },
    }
    # neither deployment is there any more: what the job reads was chosen when it began
    found = observed(a_job(status, data=SOURCES), live=True)
    decisions = decide(found, now=NOW, settings=SETTINGS)
    by_kind = {manifest["kind"]: manifest for manifest in (*decisions.apply, *decisions.create)}
    run = json.loads(by_kind["ConfigMap"]["data"]["run.json"])
    return run, by_kind["Job"]["spec"]["template"]["spec"]


def test_prepare_mounts_the_claims_of_the_rows_and_only_reads_those_of_others() -> None:
    run, pod = prepare_children()
    assert run["paths"]["feedback"] == {
        "films": "/tuneloop/claims/models/feedback/films",
        "reviews": "/tuneloop/claims/labels/team-a/feedback/reviews",
    }
    claims = {
        claim["claimName"]: claim.get("readOnly", False)
        for volume in pod["volumes"]
        if (claim := volume.get("persistentVolumeClaim"))
    }
    assert claims == {"labels": True, "models": False}


def test_a_job_is_looked_at_again_when_a_deployment_that_it_reads_changes() -> None:
    job = a_job(data=SOURCES).to_wire() | {"kind": "FineTuneJob"}
    assert sorted(references_of(job)) == [("ModelDeployment", "films"), ("ModelDeployment", "reviews")]
    assert [*references_of({"spec": {"data": {"train": [{}, 7, {"uri": 7}], "test": 7}}})] == []
    store = new_store()
    store.put(job)
    store.put(deployment("reviews", KEPT).to_wire())
    assert list(observe(store, job, Facts()).feedback_deployments) == ["reviews"]
