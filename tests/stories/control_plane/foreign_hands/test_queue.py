"""A job with a queue, and Kueue's hands on its Job: admitted, preempted, admitted again. No Kueue runs here: its writes are made one by one."""

from __future__ import annotations

from foreign_hands import ONE_RUN, Story, gang
from pod_scripts import by_attempt, fail, never_scheduled, succeed
from stories_at_once import at_once
from waiting import until

from tuneloop_api.wire.failure_class import FailureClass

QUEUE = {"queueName": "team-a"}
ADMITTED = {
    "metadata": {"labels": {"kueue.x-k8s.io/podset": "main"}, "annotations": {"kueue.x-k8s.io/workload": "job-a"}},
    "spec": {
        "nodeSelector": {"cloud.provider.com/accelerator": "h100"},
        "tolerations": [{"key": "pool", "operator": "Exists", "effect": "NoSchedule"}],
    },
}
"""What Kueue puts into the template of a Job that it admits: its own labels, and those of the flavor of the nodes."""


def admit(job: Story, suffix: str) -> None:
    """Let a Job in as Kueue does (pkg/controller/jobs/job): no start time of old, then suspension and template in one write."""
    forget_start(job, suffix)
    before = job.stored("Job", suffix)["spec"]["template"]["spec"].get("tolerations", [])
    given = ADMITTED | {"spec": ADMITTED["spec"] | {"tolerations": [*before, *ADMITTED["spec"]["tolerations"]]}}
    job.patch("Job", suffix, {"spec": {"suspend": False, "template": given}})


def preempt(job: Story, suffix: str) -> None:
    """Take a Job's nodes back as Kueue does: suspended, no start time, the template as it was created."""
    job.patch("Job", suffix, {"spec": {"suspend": True}})
    forget_start(job, suffix)
    until(lambda: not job.stored("Job", suffix)["status"].get("active"), seconds=30, what="no pods that count")
    own = [
        toleration
        for toleration in job.stored("Job", suffix)["spec"]["template"]["spec"]["tolerations"]
        if toleration["key"] != "pool"
    ]
    restored = {
        "metadata": {"labels": dict.fromkeys(ADMITTED["metadata"]["labels"]), "annotations": None},
        "spec": {"nodeSelector": None, "tolerations": own},
    }
    job.patch("Job", suffix, {"spec": {"template": restored}})


def forget_start(job: Story, suffix: str) -> None:
    job.stored("Job", suffix)  # the status names an attempt before its Job is there
    job.patch("Job", suffix, {"status": {"startTime": None}}, subresource="/status")


def queued(job: Story, **spec: object) -> Story:
    """Submit the job with a queue and return it once its first attempt waits there."""
    job.client.submit(job.name, scheduling=QUEUE, **spec)
    job.wait_for("Queued")
    return job


@at_once
def test_an_attempt_is_made_suspended_for_its_queue_and_the_stages_on_cpu_are_not(stage):
    job = queued(stage.job("asks-queue"))
    found = job.stored("Job", "a1")
    assert (found["spec"]["suspend"], found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]) == (True, "team-a")
    assert "kueue.x-k8s.io/job-min-parallelism" not in found["metadata"].get("annotations", {})
    prepare = job.stored("Job", "prepare")
    assert not prepare["spec"].get("suspend")
    assert "kueue.x-k8s.io/queue-name" not in prepare["metadata"]["labels"]
    job.traffic.come_to_rest()
    assert job.client.condition(job.name, "PodsReady")["reason"] == "Queued"
    assert gang(job) == []


@at_once
def test_a_gang_that_is_admitted_preempted_and_admitted_again_trains_on_in_the_same_attempt(stage):
    job = stage.job("preempted-twice")
    job.hold("train")
    queued(job)
    uid = job.stored("Job", "a1")["metadata"]["uid"]
    admit(job, "a1")
    for _ in range(2):
        job.wait_for("Running")
        assert {pod["spec"]["nodeSelector"]["cloud.provider.com/accelerator"] for pod in gang(job)} == {"h100"}
        preempt(job, "a1")
        job.wait_for("Queued")
        job.traffic.come_to_rest()
        assert job.client.status(job.name)["attempt"] == 1
        admit(job, "a1")
    job.wait_for("Running")
    job.go_on("train")
    status = job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    assert (status["attempt"], status["restarts"]["total"], status["restarts"]["disruption"]) == (1, 2, 2)
    assert job.child("Job", "a1")["metadata"]["uid"] == uid
    assert job.runs == ONE_RUN


@at_once
def test_time_in_a_queue_counts_against_no_deadline(stage):
    deadline = {"failurePolicy": {"startDeadline": "30s"}}
    job, other = stage.job("patient"), stage.job("impatient")
    job.hold("train")
    queued(job, **deadline)
    job.kubelet.scripts[f"{other.name}/train"] = never_scheduled
    other.client.submit(other.name, **deadline)
    other.wait_for("Failed", seconds=120)  # the same deadline has passed where no queue holds the Job
    assert other.client.status(other.name)["failure"]["class"] == "StartDeadline"
    assert job.client.phase(job.name) == "Queued"
    job.kubelet.scripts[f"{job.name}/train"] = succeed
    admit(job, "a1")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], status.get("failure")) == (1, None)
    assert job.runs == ONE_RUN


@at_once
def test_the_attempt_after_a_failure_queues_again_and_that_is_no_disruption(stage):
    job = stage.job("queues-again")
    job.kubelet.scripts[f"{job.name}/train"] = by_attempt(fail(FailureClass.STORAGE), succeed)
    queued(job)
    admit(job, "a1")
    second = job.stored("Job", "a2")
    assert (second["spec"]["suspend"], second["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]) == (True, "team-a")
    job.wait_for("Queued")
    job.traffic.come_to_rest()
    admit(job, "a2")
    status = job.wait_for("Succeeded")
    assert (status["restarts"]["failure"], status["restarts"]["disruption"]) == (1, 0)
    assert job.runs == ONE_RUN | {"a2": 1}


@at_once
def test_a_job_that_its_user_suspends_leaves_the_queue_and_comes_back_with_a_new_attempt(stage):
    job = queued(stage.job("leaves-queue"))
    job.client.patch("FineTuneJob", job.name, {"spec": {"suspend": True}})
    job.wait_for("Suspended")
    until(lambda: job.child("Job", "a1") is None, seconds=30, what="no suspended Job")
    job.client.patch("FineTuneJob", job.name, {"spec": {"suspend": False}})
    assert job.stored("Job", "a2")["spec"]["suspend"] is True
    admit(job, "a2")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], (status.get("restarts") or {}).get("total", 0)) == (2, 0)
    assert job.runs == ONE_RUN | {"a2": 1}
