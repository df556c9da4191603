"""A job is deleted at each phase, in each way; a namespace with jobs in it is deleted: nothing is left, nothing comes back, nobody fights."""

from __future__ import annotations

import pytest
from failing_jobs import PHASES, STAGE_OF_PHASE, Job, is_on
from stories_at_once import at_once
from waiting import until

POLICIES = ("Background", "Foreground", "Orphan")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("phase", PHASES)
@at_once
def test_a_job_that_is_deleted_at_any_phase_leaves_what_was_asked_for(stage, phase, policy):
    job = stage.job(f"deleted-{phase.lower()}-{policy.lower()}")
    job.reach(phase)
    until(lambda: is_whole(job, phase), seconds=30, what=f"all pods of {job.name}")
    before = job.children()
    delete(job, policy, answers={200, 202})
    delete(job, policy, answers={200, 202, 404})  # once more does no harm
    until(lambda: job.client.get("FineTuneJob", job.name) is None, seconds=30, what=f"no {job.name}")
    if policy != "Orphan":
        until(lambda: job.children() == [], seconds=30, what=f"nothing of {job.name}")
        job.traffic.come_to_rest(seconds=60)
        assert job.children() == []
        return
    changes = len(job.traffic.changes)
    job.traffic.come_to_rest(seconds=60)
    assert names(job.children()) == names(before)
    assert owners(job) == set()
    assert len(job.traffic.changes) == changes


def is_whole(job: Job, phase: str) -> bool:
    """Whether the Job that is on and its pods are there, so that what is found later is not what was only just being made."""
    active = [child for child in job.children("Job") if not child["status"].get("conditions")]
    pods = job.children("Pod")  # after the Jobs: what a suspended Job has let go of is marked by now
    is_one_on = phase in STAGE_OF_PHASE and phase != "Suspended"
    if any("deletionTimestamp" in pod["metadata"] for pod in pods) or (not is_one_on and any(map(is_on, pods))):
        return False
    return len(active) == is_one_on and all(
        child["status"].get("active") == child["spec"]["parallelism"] for child in active
    )


def delete(job: Job, policy: str, *, answers: set[int]) -> None:
    path = f"/apis/tuneloop.dev/v1alpha1/namespaces/{job.client.namespace}/finetunejobs/{job.name}"
    reply = job.client.request("DELETE", path, {"propagationPolicy": policy})
    assert reply.status in answers, reply.body


def names(children) -> set[tuple[str, str]]:
    return {(child["kind"], child["metadata"]["uid"]) for child in children}


def owners(job: Job) -> set[str]:
    """Return which of its children still name a FineTuneJob as their owner."""
    return {
        child["metadata"]["name"]
        for child in job.children()
        for owner in child["metadata"].get("ownerReferences", ())
        if owner["kind"] == "FineTuneJob"
    }


@at_once
def test_a_namespace_that_is_deleted_with_jobs_at_every_phase_is_gone_in_the_end_and_nobody_fights(stage):
    client = stage.place("doomed")
    jobs = [stage.job(f"doomed-{phase.lower()}", client=client) for phase in PHASES]
    for job, phase in zip(jobs, PHASES, strict=True):
        job.begin(phase)
    for job, phase in zip(jobs, PHASES, strict=True):
        job.arrive(phase)
    stage.ask("DELETE", "/api/v1/namespaces/doomed")
    until(lambda: stage.ask("GET", "/api/v1/namespaces/doomed").status == 404, seconds=240, what="no namespace")
    for job in jobs:
        job.traffic.come_to_rest(seconds=60)
        refused = [call for call in job.traffic.changes if call.code == 403]
        made_again = [key for key, count in job.traffic.made.items() if count > 1 and key[0] != "events"]
        assert len(refused) <= 2, (job.name, refused)
        assert made_again == [], job.name
    assert stage.environment.operator.process.poll() is None
    after = stage.job("after-the-doomed")
    after.submit()
    after.wait_for("Succeeded")


@at_once
def test_what_is_left_of_an_orphaned_gang_is_never_taken_over_by_a_new_job_of_the_name(stage):
    job = stage.job("again")
    job.reach("Running")
    delete(job, "Orphan", answers={200, 202})
    until(lambda: job.client.get("FineTuneJob", job.name) is None, seconds=30, what="no job")
    orphans = names(job.children())
    job.submit()
    condition = until(lambda: job.client.condition(job.name, "NameConflict"), seconds=30, what="a conflict")
    assert "is not ours" in condition["message"]
    assert names(job.children()) == orphans
