"""Every word of the refusals, and of a decision for a job or a deployment that is refused."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, SETTINGS, a_job, observed
from stored_conditions import without_tools

from tuneloop_api.v1alpha1 import FineTuneJobSpec, ModelDeploymentSpec
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.settings.operator import OperatorSettings

CLUSTER = OperatorSettings()
LOCAL_ONLY = "file:// is a path of one machine and works only with `tuneloop run`; in a cluster data and models come from a claim, a bucket or a hub"


def job_texts(**fields: Any) -> list[str]:
    wire = {
        "model": {"uri": "hf://a/b"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/x.csv"}]},
        "storage": {"claim": "models"},
    }
    refusals = job_refusals(FineTuneJobSpec.from_wire(wire | fields), CLUSTER)
    return [f"{refusal.reason}: {refusal}" for refusal in refusals]


def local(field: str, uri: str, example: str) -> str:
    return f"LocalAddress: {field}: found {uri}; {LOCAL_ONLY}; for example {example}"


def test_the_words_of_each_refusal_of_a_job() -> None:
    file = {"uri": "file:///data/x.csv"}
    data = {split: [{"uri": "pvc://models/x.csv"}, file] for split in ("train", "validation", "test")}
    model = {"uri": "file:///m/", "labels": ["a", "b", "a"]}
    assert job_texts(model=model, data=data, storage={}) == [
        "LabelsAlike: spec.model.labels[2]: found 'a'; each class is named once, and no two names look alike; labels[0] is 'a'; for example labels: [negative, positive]",
        local("spec.model.uri", "file:///m/", "pvc://models/m"),
        *(local(f"spec.data.{split}[1].uri", "file:///data/x.csv", "pvc://models/data/x.csv") for split in ("train", "validation", "test")),
        "NoClaim: spec.storage.claim: found nothing; name a PersistentVolumeClaim of this namespace to write to, since the operator has no default claim; for example storage: {claim: models}",
    ]  # fmt: skip


def test_a_claim_of_the_job_or_of_the_operator_will_do() -> None:
    assert job_texts() == []
    spec = a_job(storage={}).spec
    assert [refusal.reason for refusal in job_refusals(spec, CLUSTER)] == ["NoClaim"]
    assert job_refusals(spec, OperatorSettings(default_claim="models")) == ()
    assert [refusal.reason for refusal in job_refusals(a_job().spec, CLUSTER)] == ["NoClaim"]


@pytest.mark.parametrize(
    ("uri", "texts"),
    [
        ("hf://a/b", ["NotAnArtifact: spec.model.uri: found hf://a/b; the folder of an artifact that a FineTuneJob published is needed: its classes and checks are in its manifest; for example pvc://models/jobs/reviews-1a2b3c4d/artifact"]),
        ("s3://bucket/a", ["NotAnArtifact: spec.model.uri: found s3://bucket/a; the folder of an artifact that a FineTuneJob published is needed: its classes and checks are in its manifest; for example pvc://models/jobs/reviews-1a2b3c4d/artifact"]),
        ("file:///a/b", [local("spec.model.uri", "file:///a/b", "pvc://models/a/b")]),
        ("pvc://models/a", []),
        (None, []),
    ],
)  # fmt: skip
def test_the_words_of_each_refusal_of_a_deployment(uri: str | None, texts: list[str]) -> None:
    model: dict[str, Any] = {"fineTuneJobRef": {"name": "reviews"}} if uri is None else {"uri": uri}
    refusals = deployment_refusals(ModelDeploymentSpec.from_wire({"model": model}), CLUSTER)
    assert [f"{refusal.reason}: {refusal}" for refusal in refusals] == texts


def test_a_refused_job_is_not_started_and_says_why_line_by_line() -> None:
    job = a_job(model={"uri": "file:///m", "labels": ["a", "a"]})
    decision = decide(observed(job), now=NOW, settings=SETTINGS)
    assert decision.status is not None
    assert (decision.create, decision.apply) == ((), ())
    (accepted,) = without_tools(decision.status)["conditions"]
    first, second = (str(refusal) for refusal in job_refusals(job.spec, SETTINGS))
    assert accepted == {
        "type": "Accepted",
        "status": "False",
        "reason": "LabelsAlike",
        "message": f"{first}\n{second}",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }
    assert decision.status["phase"] == "Pending"
    assert decision.events == (Event(type="Warning", reason="LabelsAlike", message=accepted["message"]),)
    again = decide(observed(a_job(decision.status, **job.spec.to_wire())), now=NOW, settings=SETTINGS)
    assert (again.status, again.events) == (None, ())


def test_another_refusal_of_the_same_job_is_another_event() -> None:
    first = decide(observed(a_job(model={"uri": "file:///m", "labels": ["a", "a"]})), now=NOW, settings=SETTINGS)
    changed = a_job(first.status, model={"uri": "file:///m"})
    assert [event.reason for event in decide(observed(changed), now=NOW, settings=SETTINGS).events] == ["LocalAddress"]


def test_a_job_that_runs_is_not_refused_any_more() -> None:
    status = {"startTime": "2026-01-01T12:00:00Z", "resolved": {"storageClaim": "models"}}
    decision = decide(observed(a_job(status), live=True), now=NOW, settings=CLUSTER)
    assert [manifest["kind"] for manifest in decision.create] == ["ConfigMap", "Job"]
