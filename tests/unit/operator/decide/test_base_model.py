"""A job that begins with the model of another job: it waits until that has succeeded, and then keeps to the address that it found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from observed_jobs import NOW, SETTINGS, STAMP, a_job, observed

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.model import changed
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe.fine_tune_job import observe, references_of
from tuneloop_operator.decide.decision import Decision
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.state.observed import Facts

MODEL = {"uri": "job://domain"}
ARTIFACT = {"uri": "pvc://bases/jobs/domain-1a2b/artifact", "digest": "sha256:" + "ab" * 32, "sizeBytes": 1}
ADDRESS = "pvc://bases/jobs/domain-1a2b/artifact/model"


def ended(kind: str) -> dict[str, Any]:
    condition = {"type": kind, "status": "True", "reason": "A", "message": "", "lastTransitionTime": STAMP}
    return {"conditions": [condition], "phase": "Succeeded" if kind == "Complete" else "Failed"}


def base(status: dict[str, Any] | None = None, **spec: Any) -> FineTuneJob:
    job = a_job(status, **spec)
    return changed(job, metadata=job.metadata | {"name": "domain", "uid": "u-domain"})


DONE = base(ended("Complete") | {"artifact": ARTIFACT})


def decided(found: FineTuneJob | str | None, **fields: Any) -> Decision:
    return decide(observed(a_job(model=MODEL), base_job=found, live=True, **fields), now=NOW, settings=SETTINGS)


def accepted(found: FineTuneJob | str | None) -> dict[str, Any]:
    status = decided(found).status
    assert status is not None
    return next(condition for condition in status["conditions"] if condition["type"] == "Accepted")


def test_the_job_begins_with_what_the_other_has_published() -> None:
    status = decided(DONE).status
    assert status is not None
    assert accepted(DONE)["status"] == "True"
    assert status["resolved"]["baseModel"] == {"uri": ADDRESS, "digest": ARTIFACT["digest"]}


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (None, "JobNotFound", "there is no FineTuneJob domain in this namespace; the job starts once there is one"),
        ("spec.x: is not known", "JobNotReadable", "FineTuneJob domain cannot be read (spec.x: is not known)"),
        (base(), "JobNotFinished", "FineTuneJob domain is Pending; the job starts once it has succeeded"),
        (base({"phase": "Running"}), "JobNotFinished", "FineTuneJob domain is Running"),
        (base({"artifact": ARTIFACT, "phase": "Exporting"}), "JobNotFinished", "FineTuneJob domain is Exporting"),
        (base(ended("Failed")), "JobFailed", "FineTuneJob domain has failed; it published nothing"),
        (base(ended("Complete"), preflight={"dryRun": True}), "NothingPublished", "FineTuneJob domain has succeeded and published nothing (preflight.dryRun: true)"),
        (base(ended("Complete") | {"artifact": ARTIFACT}, output={"mergeAdapter": False}), "AdapterAlone", "publishes its adapter alone"),
    ],
)  # fmt: skip
def test_a_job_waits_and_says_for_what(found: FineTuneJob | str | None, reason: str, words: str) -> None:
    condition = accepted(found)
    assert (condition["status"], condition["reason"]) == ("False", reason)
    assert condition["message"].startswith("spec.model.uri: found job://domain; ")
    assert words in condition["message"]
    assert not decided(found).create


def test_a_job_cannot_begin_with_its_own_model() -> None:
    job = a_job(model={"uri": "job://r"})
    status = decide(observed(job, base_job=changed(DONE, metadata=job.metadata), live=True), now=NOW, settings=SETTINGS).status  # fmt: skip
    assert status is not None
    assert next(found for found in status["conditions"] if found["type"] == "Accepted")["reason"] == "CycleDetected"


def test_two_jobs_that_wait_for_each_other_are_a_circle_and_one_that_has_started_waits_for_nobody() -> None:
    circle = accepted(base(model={"uri": "job://r"}))
    assert (circle["status"], circle["reason"]) == ("False", "CycleDetected")
    assert "FineTuneJob domain begins with the model of this job, so that neither can start" in circle["message"]
    done = base(ended("Complete") | {"artifact": ARTIFACT}, model={"uri": "job://r"})
    assert accepted(done)["status"] == "True"
    started = base(
        {"startTime": STAMP, "phase": "Running"}, model={"uri": "job://r"}
    )  # with an earlier job of this name
    assert accepted(started)["reason"] == "JobNotFinished"


def test_the_pods_read_the_model_from_its_claim_whatever_becomes_of_the_other_job() -> None:
    status = {
        "startTime": STAMP,
        "image": "trainer:1",
        "resolved": {"storageClaim": "models", "baseModel": {"uri": ADDRESS, "digest": ARTIFACT["digest"]}},
    }
    decision = decide(observed(a_job(status, model=MODEL), live=True), now=NOW, settings=SETTINGS)
    by_kind = {manifest["kind"]: manifest for manifest in (*decision.apply, *decision.create)}
    run = json.loads(by_kind["ConfigMap"]["data"]["run.json"])
    volumes = by_kind["Job"]["spec"]["template"]["spec"]["volumes"]
    claims = {volume["persistentVolumeClaim"]["claimName"]: volume["persistentVolumeClaim"].get("readOnly", False) for volume in volumes if "persistentVolumeClaim" in volume}  # fmt: skip
    assert run["settings"]["model"]["uri"] == ADDRESS
    assert claims == {"models": False, "bases": True}


def test_a_job_with_another_base_model_is_another_run() -> None:
    other = base(ended("Complete") | {"artifact": ARTIFACT | {"uri": "pvc://bases/jobs/domain-9f8e/artifact"}})
    hashes = set()
    for found in (DONE, other):
        status = decided(found).status
        assert status is not None
        hashes.add(status["lineage"]["configHash"])
    assert len(hashes) == 2


def test_a_change_of_the_other_job_is_a_reason_to_look_again() -> None:
    manifest = a_job(model=MODEL).to_wire() | {"kind": "FineTuneJob"}
    assert [*references_of(manifest)] == [("FineTuneJob", "domain")]
    assert [*references_of({"spec": {"model": {"uri": 3}}})] == []


def test_the_other_job_is_observed_by_its_name() -> None:
    store = new_store()
    for job in (a_job(model=MODEL), DONE):
        store.put(job.to_wire() | {"kind": "FineTuneJob"})
    found = observe(store, a_job(model=MODEL).to_wire() | {"kind": "FineTuneJob"}, Facts())
    assert isinstance(found.base_job, FineTuneJob)
    assert found.base_job.metadata["name"] == "domain"
    plain = observe(store, a_job().to_wire() | {"kind": "FineTuneJob"}, Facts())
    assert plain.base_job is None
