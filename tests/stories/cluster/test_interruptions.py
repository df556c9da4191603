"""A worker, or a worker and the operator, go away in the midst of training on a real node: the job ends as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from cluster_release import Tenant
from cluster_stories import JOB, STEPS, first_checkpoint, kill_processes
from cluster_watch import watching

FOLLOWS = {
    "Pending": {"Preparing"},
    "Preparing": {"Queued"},
    "Queued": {"Running", "Restarting"},
    "Running": {"Restarting", "Exporting"},
    "Restarting": {"Running"},
    "Exporting": {"Succeeded"},
}
"""The moves between phases that a job may make that is disturbed while it trains."""

DISRUPTIONS = {"Evicted", "Preempted"}
"""Of a pod that was deleted; which one depends on whether it ended in the same second, for times in pods have whole seconds."""


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """What was observed of a job that was disturbed right after its first checkpoint."""

    tenant: Tenant
    saved: int
    """The step of the newest checkpoint that was committed when the worker was deleted."""
    jobs: list[dict[str, Any]]
    """The statuses of the job, oldest first."""

    @property
    def job(self) -> dict[str, Any]:
        return self.jobs[-1]


# in the story of the drain, too, a worker is deleted and the operator is killed
@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.full) for name in ("worker-deleted", "operator-killed")],
)
def interrupted(request, release, tmp_path_factory):
    tenant, folder = release.in_namespace(request.param), tmp_path_factory.mktemp("watches")
    with watching(release.cluster, "finetunejobs", namespace=tenant.namespace, folder=folder) as jobs:
        tenant.apply(JOB)
        tenant.until(lambda: _phase(tenant) == "Running", what="a gang")
        (worker,) = tenant.pods(
            "tuneloop.dev/job=reviews,batch.kubernetes.io/job-completion-index=1,tuneloop.dev/stage=train"
        )
        operator = release.operator_pod()
        saved = first_checkpoint(tenant)
        if request.param == "operator-killed":
            kill_processes(operator)
            tenant.release.cluster.kubectl(
                "delete", "pod", operator["metadata"]["name"], "-n", release.namespace, "--grace-period=0", "--force"
            )
        tenant.kubectl("delete", "pod", worker["metadata"]["name"], "--wait=false")
        tenant.finished("reviews")
        return Interrupted(tenant=tenant, saved=saved, jobs=jobs.statuses("reviews"))


def test_it_ends_with_the_artifact_of_an_undisturbed_run(interrupted, served):
    assert interrupted.job["artifact"]["digest"] == served.job["artifact"]["digest"]


def test_the_second_attempt_goes_on_from_the_checkpoint(interrupted):
    first, second = interrupted.job["history"]
    assert (first["attempt"], first["startStep"]) == (1, 0)
    assert first["class"] in DISRUPTIONS
    assert (second["attempt"], second["endStep"], second["reason"]) == (2, STEPS, "Succeeded")
    assert interrupted.saved <= second["startStep"] < STEPS
    assert interrupted.job["resume"] == "exact"


def test_one_restart_is_counted_and_nobody_is_blamed(interrupted):
    restarts = interrupted.job["restarts"]
    counted = {name: restarts[name] for name in ("total", "disruption", "failure", "withoutProgress")}
    assert counted == {"total": 1, "disruption": 1, "failure": 0, "withoutProgress": 0}
    assert restarts["lastReason"] in DISRUPTIONS


def test_there_was_one_gang_for_each_attempt(interrupted):
    pods = interrupted.tenant.pods("tuneloop.dev/job=reviews,tuneloop.dev/stage=train")
    second = [pod for pod in pods if pod["metadata"]["labels"]["tuneloop.dev/attempt"] == "2"]
    assert len(second) == 2
    jobs = {job["metadata"]["name"] for job in interrupted.tenant.list("jobs")}
    assert jobs == {"reviews-prepare", "reviews-a1", "reviews-a2", "reviews-export"}


def test_the_phases_are_a_path_of_the_job_s_life(interrupted):
    observed = [status["phase"] for status in interrupted.jobs if "phase" in status]
    strange = [move for move in pairwise(observed) if move[0] != move[1] and move[1] not in FOLLOWS[move[0]]]
    assert not strange, observed
    assert "Restarting" in observed
    assert observed[-1] == "Succeeded"


def test_attempts_never_go_back_and_steps_never_within_one(interrupted):
    observed = [
        (status["attempt"], status.get("progress", {}).get("step", 0))
        for status in interrupted.jobs
        if "attempt" in status
    ]
    attempts = [attempt for attempt, _ in observed]
    assert attempts == sorted(attempts)
    for number in (1, 2):
        steps = [step for attempt, step in observed if attempt == number]
        assert steps == sorted(steps), (number, steps)


def _phase(tenant):
    return tenant.status("finetunejobs", "reviews").get("phase")
