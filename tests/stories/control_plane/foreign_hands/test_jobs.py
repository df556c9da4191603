"""The Jobs of a FineTuneJob are deleted, collected, suspended and changed by others: it still ends as it should, and nobody fights."""

from __future__ import annotations

import pytest
from foreign_hands import ONE_RUN, Story, gang
from pod_scripts import succeed
from stories_at_once import at_once
from waiting import until


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
@at_once
def test_a_training_job_that_a_user_deletes_is_a_disruption(stage, policy):
    job = stage.training(f"deleted-{policy.lower()}")
    job.kubelet.scripts[f"{job.name}/train"] = succeed
    job.delete("Job", "a1", policy=policy)
    if policy == "Orphan":  # its pods train on, and nobody may train beside them
        job.go_on("train")
    job.succeeds_after_one_disruption()


@at_once
def test_a_prepare_job_that_a_user_deletes_is_made_once_more(stage):
    job = stage.job("no-prepare")
    job.hold("prepare")
    job.client.submit(job.name)
    until(lambda: job.kubelet.pods(namespace=job.client.namespace), seconds=30, what="a pod that prepares")
    job.wait_for("Preparing")
    until(lambda: job.client.status(job.name)["children"]["prepare"].get("uid"), seconds=30, what="a recorded uid")
    job.kubelet.scripts[f"{job.name}/prepare"] = succeed
    job.delete("Job", "prepare")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], status["restarts"]["disruption"]) == (1, 1)
    job.traffic.come_to_rest()
    assert job.runs == ONE_RUN | {"prepare": 2}


@at_once
def test_a_pod_that_a_user_deletes_is_a_disruption_of_the_whole_gang(stage):
    job = stage.training("bereft")
    job.kubelet.scripts[f"{job.name}/train"] = succeed
    (first, *_) = sorted(pod["metadata"]["name"] for pod in gang(job))
    stage.client.delete("Pod", first)
    job.succeeds_after_one_disruption()


def collect(job: Story, suffix: str) -> None:
    """Let the TTL controller collect a finished Job, and its pods with it."""
    job.patch("Job", suffix, {"spec": {"ttlSecondsAfterFinished": 0}})
    until(lambda: job.child("Job", suffix) is None, seconds=30, what=f"no {suffix}")


@at_once
def test_a_finished_stage_that_is_collected_while_later_ones_run_is_not_made_again(stage):
    job = stage.job("collected")
    job.hold("train", "export")
    job.start()
    collect(job, "prepare")
    job.traffic.come_to_rest()
    assert job.client.phase(job.name) == "Running"
    job.go_on("train")
    job.wait_for("Exporting")
    collect(job, "a1")
    job.traffic.come_to_rest()
    assert job.client.phase(job.name) == "Exporting"
    job.go_on("export")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], status.get("restarts"), job.runs) == (1, None, ONE_RUN)


@at_once
def test_nothing_of_a_finished_job_comes_back(stage):
    job = stage.job("over")
    job.client.submit(job.name)
    job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    before, written = job.client.status(job.name), len(job.traffic.writes)
    collect(job, "export")
    for kind, suffix in (
        ("Job", "prepare"),
        ("Job", "a1"),
        ("ConfigMap", "export"),
        ("Service", "train"),
        ("NetworkPolicy", "train"),
    ):
        job.delete(kind, suffix)
    job.traffic.come_to_rest()
    assert job.client.status(job.name) == before
    assert len(job.traffic.writes) == written


@at_once
def test_a_job_whose_runs_are_collected_the_moment_they_end_still_ends_well(stage):
    """As where a policy of the cluster puts this on each Job. A run whose good end was not observed in time is done once more."""
    job = stage.job("swept")
    job.hold("prepare", "train", "export")
    stage.client.submit(job.name)
    for run, suffix in (("prepare", "prepare"), ("train", "a1"), ("export", "export")):
        job.stored("Job", suffix)
        job.patch("Job", suffix, {"spec": {"ttlSecondsAfterFinished": 0}})
        job.go_on(run)
    status = job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    assert sum(job.runs.values()) == len(ONE_RUN) + status.get("restarts", {"total": 0})["total"]
    assert max(job.runs.values()) <= 2


@at_once
def test_a_queue_may_suspend_change_and_resume_the_gang(stage):
    """As Kueue does where it preempts and admits again."""
    job = stage.training("queued")
    uid = job.child("Job", "a1")["metadata"]["uid"]
    job.patch("Job", "a1", {"spec": {"suspend": True}})
    job.wait_for("Queued")
    assert job.client.condition(job.name, "PodsReady")["reason"] == "Queued"
    until(lambda: not gang(job), seconds=30, what="no pods")
    changed = job.patch(
        "Job",
        "a1",
        {
            "metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}, "annotations": {"kueue.x-k8s.io/a": "b"}},
            "spec": {
                "template": {
                    "metadata": {"labels": {"kueue.x-k8s.io/podset": "main"}, "annotations": {"a": "b"}},
                    "spec": {
                        "nodeSelector": {"pool": "gpu"},
                        "tolerations": [{"key": "pool", "operator": "Exists"}],
                    },
                }
            },
        },
    )
    job.traffic.come_to_rest()
    until(lambda: job.client.status(job.name)["workers"] == "0/2", seconds=30, what="no workers in the status")
    assert (job.client.phase(job.name), job.client.status(job.name)["attempt"]) == ("Queued", 1)
    job.patch("Job", "a1", {"spec": {"suspend": False}})
    job.wait_for("Running")
    assert {pod["spec"]["nodeSelector"]["pool"] for pod in gang(job)} == {"gpu"}
    job.go_on("train")
    status = job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    assert (status["attempt"], status["restarts"]["total"], status["restarts"]["disruption"]) == (1, 1, 1)
    found = job.child("Job", "a1")
    assert found["metadata"]["uid"] == uid
    assert found["spec"]["template"] == changed["spec"]["template"]
    assert job.runs == ONE_RUN


@at_once
def test_a_gang_whose_parallelism_somebody_changes_is_neither_changed_back_nor_begun_again(stage):
    job = stage.training("narrow")
    job.patch("Job", "a1", {"spec": {"suspend": True}})
    job.wait_for("Queued")
    until(lambda: not gang(job), seconds=30, what="no pods")
    job.patch("Job", "a1", {"spec": {"parallelism": 1}})
    job.patch("Job", "a1", {"spec": {"suspend": False}})
    until(lambda: len(gang(job)) == 1, seconds=30, what="one pod")
    job.traffic.come_to_rest()
    job.go_on("train")
    job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    assert job.child("Job", "a1")["spec"]["parallelism"] == 1
    assert job.runs == ONE_RUN
