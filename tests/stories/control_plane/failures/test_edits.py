"""A job is edited at each phase: what is frozen is refused by the API server, what may change is taken once and holds."""

from __future__ import annotations

import pytest
from failing_jobs import LOW, MENDED, PHASES, STAGE_OF_PHASE, Job
from pod_scripts import Until, before_the_end, fail, succeed
from stories_at_once import at_once
from waiting import until

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.failure_class import FailureClass

MERGE = {"content_type": "application/merge-patch+json"}
FROZEN = {
    "model": {"uri": "hf://google-bert/bert-base-uncased"},
    "data": {"train": [{"uri": "pvc://models/raw/other.csv"}]},
    "method": {"type": "full"},
    "training": {"epochs": 1},
    "deepspeed": {"stage": 1},
    "resources": {"nodes": 3},
    "image": "trainer:2",
    "storage": {"claim": "other"},
    "checkpoint": {"keepLast": 3},
    "output": {"checkpoint": "last"},
}
DAY = 86400
MUTABLE = {
    "failurePolicy.maxRestarts": {"failurePolicy": {"maxRestarts": 7}},
    "failurePolicy.maxTotalRestarts": {"failurePolicy": {"maxTotalRestarts": 70}},
    "failurePolicy.maxDisruptions": {"failurePolicy": {"maxDisruptions": 700}},
    "activeDeadlineSeconds": {"activeDeadlineSeconds": DAY},
    "ttlSecondsAfterFinished": {"ttlSecondsAfterFinished": DAY},
    "scheduling.priorityClassName": {"scheduling": {"priorityClassName": LOW}},
}
SUSPENDABLE = ("Preparing", "Queued", "Running", "Restarting", "Exporting")


def test_every_field_that_may_change_is_edited():
    assert MUTABLE.keys() | {"suspend"} == FineTuneJob.mutable_once_started


@pytest.mark.parametrize("phase", PHASES)
@at_once
def test_at_each_phase_a_frozen_field_is_refused_and_a_mutable_one_is_taken_once(stage, phase):
    job = stage.job(f"edited-{phase.lower()}")
    job.reach(phase)
    job.traffic.come_to_rest(seconds=60)
    before = job.client.get("FineTuneJob", job.name)
    if phase != "Pending":  # what has not started yet may be mended: the next story but one
        before = until(lambda: untouched_by_refused_edits(job), seconds=90, what=f"{job.name} at rest")
    changes = len(job.traffic.changes)
    for change in MUTABLE.values():
        job.edit(change)
    until(lambda: is_observed(job), seconds=90, what=f"all edits of {job.name} in its status")
    job.traffic.come_to_rest(seconds=60)
    new = job.traffic.changes[changes:]
    assert {(call.verb, call.resource, call.subresource) for call in new} == {("patch", "finetunejobs", "status")}
    assert len(new) <= len(MUTABLE)
    after = job.client.get("FineTuneJob", job.name)
    assert without_generation(after["status"]) == without_generation(before["status"])


def untouched_by_refused_edits(job: Job):
    """Return the object after its frozen fields were edited in vain; None if it changed: the operator may still have written its status."""
    before = job.client.get("FineTuneJob", job.name)
    assert refused_fields(job) == FROZEN.keys()
    return before if job.client.get("FineTuneJob", job.name) == before else None


def refused_fields(job: Job) -> set[str]:
    """Return which of the frozen fields the API server refuses to change, by the field that it names."""
    path = f"/apis/tuneloop.dev/v1alpha1/namespaces/{job.client.namespace}/finetunejobs/{job.name}"
    refused = set()
    for field, value in FROZEN.items():
        reply = job.client.request("PATCH", path, {"spec": {field: value}}, **MERGE)
        if reply.status == 422:
            refused |= {cause["field"].removeprefix("spec.").split(".")[0] for cause in reply.body["details"]["causes"]}
    return refused


def is_observed(job: Job) -> bool:
    found = job.client.get("FineTuneJob", job.name)
    return found["status"]["observedGeneration"] == found["metadata"]["generation"]


def without_generation(status):
    return {key: value for key, value in status.items() if key != "observedGeneration"}


@pytest.mark.parametrize("phase", SUSPENDABLE)
@at_once
def test_a_job_that_is_suspended_at_any_phase_frees_its_pods_and_goes_on_without_counting_a_restart(stage, phase):
    job = stage.job(f"paused-{phase.lower()}")
    job.reach(phase)
    counted = job.counted()
    job.edit({"suspend": True})
    job.wait_for("Suspended")
    until(lambda: not job.running(), seconds=30, what=f"no pods of {job.name}")
    job.traffic.come_to_rest(seconds=60)
    assert job.status["phase"] == "Suspended"
    job.go_on(STAGE_OF_PHASE[phase])
    job.edit({"suspend": False})
    job.wait_for("Succeeded", seconds=120)
    assert job.counted() == counted


@at_once
def test_a_refused_job_that_is_mended_runs(stage):
    job = stage.job("mended")
    job.reach("Pending")
    job.edit(MENDED)
    assert job.wait_for("Succeeded").get("restarts") is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
@at_once
def test_suspending_what_is_over_changes_nothing(stage, phase):
    job = stage.job(f"rested-{phase.lower()}")
    job.reach(phase)
    job.edit({"suspend": True})
    until(lambda: is_observed(job), seconds=30, what="the edit in the status")
    assert job.status["phase"] == phase


LIMITS = {
    "maxRestarts": FailureClass.STORAGE,
    "maxTotalRestarts": FailureClass.STORAGE,
    "maxDisruptions": FailureClass.EVICTED,
}


@pytest.mark.parametrize("limit", LIMITS)
@at_once
def test_a_limit_that_is_lowered_while_the_gang_trains_holds_for_its_next_failure(stage, limit):
    job = stage.job(f"lowered-{limit.lower()}")
    go = job.keep("train")
    job.kubelet.scripts[f"{job.name}/train"] = before_the_end(fail(LIMITS[limit]), Until(go))
    job.submit()
    job.wait_for("Running")
    job.edit({"failurePolicy": {limit: 0}})
    go.set()
    status = job.wait_for("Failed")
    assert f"failurePolicy.{limit}" in status["failure"]["message"]
    assert status["attempt"] == 1


@at_once
def test_a_limit_that_is_raised_while_the_gang_trains_holds_for_its_next_failure(stage):
    job = stage.job("raised")
    go = job.keep("train")
    failing, well = before_the_end(fail(FailureClass.STORAGE), Until(go)), succeed
    job.kubelet.scripts[f"{job.name}/train"] = lambda pod, attempt, at, index: (failing if attempt == 1 else well)(
        pod, attempt, at, index
    )
    job.submit(failurePolicy={"maxRestarts": 0})
    job.wait_for("Running")
    job.edit({"failurePolicy": {"maxRestarts": 1}})
    go.set()
    job.wait_for("Succeeded")
    assert job.counted() == {"total": 1, "failure": 1, "disruption": 0}


@at_once
def test_a_deadline_that_is_set_while_the_gang_trains_ends_it(stage):
    job = stage.job("deadline")
    job.reach("Running")
    job.edit({"activeDeadlineSeconds": 1})
    status = job.wait_for("Failed")
    assert status["failure"]["class"] == "DeadlineExceeded"
    until(lambda: not job.running(), seconds=30, what="no pods")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
@at_once
def test_a_finished_job_whose_time_to_live_is_set_to_nothing_goes_with_all_that_it_made(stage, phase):
    job = stage.job(f"collected-{phase.lower()}")
    job.reach(phase)
    job.edit({"ttlSecondsAfterFinished": 0})
    until(lambda: job.client.get("FineTuneJob", job.name) is None, seconds=30, what="no job")
    until(lambda: job.children() == [], seconds=30, what="no children")


@at_once
def test_a_priority_that_is_changed_while_the_gang_trains_is_that_of_the_next_attempt(stage):
    job = stage.job("demoted")
    job.reach("Running")
    job.edit({"scheduling": {"priorityClassName": LOW}})
    job.traffic.come_to_rest(seconds=60)
    assert {pod["spec"].get("priorityClassName") for pod in job.gang(1)} == {None}
    job.client.delete("Pod", job.gang(1)[0]["metadata"]["name"])
    until(lambda: len(job.gang(2)) == 2, seconds=60, what="the next attempt")
    assert {pod["spec"].get("priorityClassName") for pod in job.gang(2)} == {LOW}
    job.go_on("train")
    job.succeeds_after_one_disruption()
