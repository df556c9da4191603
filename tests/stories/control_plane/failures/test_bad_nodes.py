"""Nodes are lost, drained, taken by others, or bad: the gang begins again once, elsewhere, and nobody but the node is blamed."""

from __future__ import annotations

import pytest
from failing_jobs import URGENT, Job, Stage
from foreign_hands import ONE_RUN
from pod_scripts import Bind, End, PodLifecycle, Run, Stop, by_attempt, fail, succeed
from stage_messages import failure
from stories_at_once import at_once
from waiting import until

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.failure_class import FailureClass

SHORT_GRACE = {"gracePeriod": "2s"}
ONE_DISRUPTION = {"total": 1, "failure": 0, "disruption": 1}
SAVED = 40
TAKEN_AWAY = {"Evicted", "Preempted"}
"""Of a pod that was deleted: which one depends on which end is observed first, and on whether it came in the same second, for times in pods have whole seconds."""


def trains_on(stage: Stage, job: Job, *nodes: str, **spec) -> dict[str, str]:
    """Submit a job that trains until `go_on`, on nodes of its own; return its pods by node once all run."""
    job.hold("train")
    job.submit(resources=stage.nodes(job, *nodes), checkpoint=SHORT_GRACE, **spec)
    job.wait_for("Running")
    return job.gang_on_nodes(1)


def has_no_ranks_twice(job: Job, attempt: int) -> bool:
    """Whether each pod of the attempt before was over, or past its grace period, when the ones of this attempt were made."""
    begun = min(pod["metadata"]["creationTimestamp"] for pod in job.gang(attempt))
    return all(gone_at(pod) <= begun for pod in job.gang(attempt - 1))


def gone_at(pod) -> str:
    ended = [container["state"].get("terminated") for container in pod["status"].get("containerStatuses", ())]
    if pod["status"]["phase"] in {"Succeeded", "Failed"} and all(ended):
        return max(state["finishedAt"] for state in ended)
    return pod["metadata"].get("deletionTimestamp", "for ever")


@at_once
def test_a_gang_whose_node_is_lost_goes_on_without_that_node_once_its_pods_cannot_run_any_more(stage):
    job = stage.job("node-lost")
    lost, _ = sorted(trains_on(stage, job, "a", "b", "c"))
    stage.kubelet.lose_node(lost)
    assert lost not in job.gang_on_nodes(2, seconds=150)
    assert has_no_ranks_twice(job, 2)
    assert (
        len([pod for pod in job.gang(1) if pod["spec"]["nodeName"] == lost]) == 1
    )  # nobody there hears that it is deleted
    job.wait_for("Running")
    assert job.status["avoidedNodes"] == [{"name": lost, "reason": "NodeLost"}]
    stage.kubelet.restore_node(lost)
    until(lambda: job.gang(1) == [], seconds=60, what="no pods of the first attempt")
    job.go_on("train")
    job.succeeds_after_one_disruption()
    assert job.counted() == ONE_DISRUPTION
    assert (job.status["history"][0]["class"], job.status["history"][0]["node"]) == ("NodeLost", lost)


@pytest.mark.full
@at_once
def test_a_gang_whose_node_is_removed_from_the_cluster_goes_on_elsewhere(stage):
    job = stage.job("node-removed")
    lost, _ = sorted(trains_on(stage, job, "a", "b", "c"))
    stage.kubelet.lose_node(lost)
    assert stage.ask("DELETE", f"/api/v1/nodes/{lost}").status == 200
    assert lost not in job.gang_on_nodes(2, seconds=200)
    assert has_no_ranks_twice(job, 2)
    job.go_on("train")
    job.succeeds_after_one_disruption()
    assert job.status["history"][0]["class"] in {"NodeLost", "Evicted"}  # its pod is gone as soon as it has failed


@at_once
def test_a_pod_that_is_evicted_saves_and_its_gang_goes_on_from_there(stage):
    job = stage.job("evicted")

    def saves(pod, attempt, at, index):
        message = failure(FailureClass.PREEMPTED, stage=at, index=index, saved_step=SAVED)
        return PodLifecycle((Bind(), Run()), stop=Stop(0.2, End(ExitCode.PREEMPTED, message=message), lingers=2.0))

    job.kubelet.scripts[f"{job.name}/train"] = by_attempt(saves, succeed)
    job.submit(resources=stage.nodes(job, "a", "b"))
    job.wait_for("Running")
    stage.evict(job.gang(1)[0])
    job.succeeds_after_one_disruption()
    first = job.status["history"][0]
    assert first["class"] in TAKEN_AWAY
    assert (first["endStep"], job.counted()) == (SAVED, ONE_DISRUPTION)
    assert job.run_config(2)["expectedStep"] == SAVED


@at_once
def test_a_gang_of_which_all_pods_are_evicted_at_once_begins_again_once(stage):
    job = stage.job("all-evicted")
    trains_on(stage, job, "a", "b")
    for pod in job.gang(1):
        stage.evict(pod)
    job.go_on("train")
    job.succeeds_after_one_disruption()


@at_once
def test_a_gang_whose_node_is_drained_waits_for_room_and_goes_on_when_there_is_some(stage):
    job = stage.job("drained")
    drained, _ = sorted(trains_on(stage, job, "a", "b"))
    stage.change_node(drained, {"spec": {"unschedulable": True}})
    stage.evict(next(pod for pod in job.gang(1) if pod["spec"]["nodeName"] == drained))
    until(lambda: why_not_ready(job) == "Unschedulable", seconds=60, what="a gang without room")
    assert job.status["phase"] == "Restarting"
    assert "1 node(s) were unschedulable" in job.client.condition(job.name, "PodsReady")["message"]
    stage.change_node(drained, {"spec": {"unschedulable": None}})
    until(lambda: job.status.get("workers") == "2/2", seconds=60, what="a whole gang")
    job.go_on("train")
    job.succeeds_after_one_disruption()
    assert "avoidedNodes" not in job.status


def why_not_ready(job: Job) -> str:
    return (job.client.condition(job.name, "PodsReady") or {}).get("reason", "")


@at_once
def test_a_gang_that_the_scheduler_preempts_goes_on_when_the_more_urgent_pod_is_done(stage):
    job = stage.job("preempted")
    trains_on(stage, job, "a", "b")
    container = {"name": "one", "image": "one", "resources": {"limits": {job.accelerator: "1"}}}
    pod = {"metadata": {"name": "urgent"}, "spec": {"priorityClassName": URGENT, "containers": [container]}}
    job.client.create("Pod", pod)
    until(lambda: why_not_ready(job) == "Unschedulable", seconds=60, what="a gang without room")
    assert job.status["history"][0]["class"] in TAKEN_AWAY
    job.client.request("DELETE", f"/api/v1/namespaces/{job.client.namespace}/pods/urgent", {"gracePeriodSeconds": 0})
    until(lambda: job.status.get("workers") == "2/2", seconds=60, what="a whole gang")
    job.go_on("train")
    job.succeeds_after_one_disruption()
    assert job.counted() == ONE_DISRUPTION


@at_once
def test_a_job_that_was_disrupted_as_often_as_it_may_fails_with_the_limit(stage):
    job = stage.job("often-disrupted")
    trains_on(stage, job, "a", "b", failurePolicy={"maxDisruptions": 1})
    stage.evict(job.gang(1)[0])
    until(lambda: (job.status["attempt"], job.status.get("workers")) == (2, "2/2"), seconds=60, what="a second gang")
    stage.evict(job.gang(2)[0])
    status = job.wait_for("Failed")
    assert status["failure"]["class"] == "Evicted"
    assert "failurePolicy.maxDisruptions" in status["failure"]["message"]


def fails_twice(job: Job) -> None:
    """Let the first two attempts fail in a way that a bad disk of their node may be behind."""
    storage = [fail(FailureClass.STORAGE, saved_step=step) for step in (1, 2)]
    job.kubelet.scripts[f"{job.name}/train"] = by_attempt(*storage, succeed)


@at_once
def test_a_node_on_which_a_job_failed_twice_is_avoided(stage):
    job = stage.job("bad-node")
    fails_twice(job)
    job.submit(resources=stage.nodes(job, "a") | {"nodes": 1})
    until(lambda: why_not_ready(job) == "Unschedulable", seconds=60, what="a gang without another node")
    assert (job.status["attempt"], job.status["avoidedNodes"]) == (3, [{"name": "bad-node-a", "reason": "Storage"}])
    other = stage.add_node(job, "b")
    assert job.gang_on_nodes(3, number=1, seconds=60).keys() == {other}
    assert job.wait_for("Succeeded")["attempt"] == 3
    assert job.counted() == {"total": 2, "failure": 2, "disruption": 0}


@at_once
def test_a_node_is_not_avoided_where_the_user_does_not_want_it(stage):
    job = stage.job("trusted-node")
    fails_twice(job)
    job.submit(resources=stage.nodes(job, "a") | {"nodes": 1}, scheduling={"avoidBadNodes": False})
    status = job.wait_for("Succeeded")
    assert (status["attempt"], "avoidedNodes" in status) == (3, False)


@pytest.mark.full
@at_once
def test_a_bad_node_is_better_than_none(stage):
    job = stage.job("only-node")
    fails_twice(job)
    job.submit(resources=stage.nodes(job, "a") | {"nodes": 1})
    status = job.wait_for("Succeeded", seconds=150)
    assert (status["attempt"], status["avoidedNodes"]) == (4, [])
    assert job.counted() == {"total": 2, "failure": 2, "disruption": 0}


SHRINKS = {"minNodes": 1, "shrinkAfter": "5s"}


@at_once
def test_a_gang_without_room_for_all_of_it_runs_smaller_and_grows_back_at_the_next_restart(stage):
    job = stage.job("shrunk")
    job.hold("train")
    job.submit(resources=stage.nodes(job, "a"), scheduling=SHRINKS)
    until(lambda: job.status.get("workers") == "1/1", seconds=150, what="a gang of one")
    assert (job.status["attempt"], job.status["nodes"], job.status["history"][0]["reason"]) == (2, 1, "Shrunk")
    assert job.stored("Job", "a2")["spec"]["completions"] == 1
    assert gang_size(job, 2) == 1
    assert job.counted()["total"] == 0
    stage.add_node(job, "b")
    job.client.delete("Pod", job.gang(2)[0]["metadata"]["name"])
    until(lambda: job.status.get("workers") == "2/2", seconds=60, what="a gang of two")
    assert (job.status["attempt"], job.stored("Job", "a3")["spec"]["completions"], gang_size(job, 3)) == (3, 2, 2)
    job.go_on("train")
    job.wait_for("Succeeded")
    assert job.counted() == ONE_DISRUPTION
    assert job.runs == ONE_RUN | {"a2": 1, "a3": 1}


def gang_size(job: Job, attempt: int) -> int:
    """Return the number of nodes that the pods of an attempt were given."""
    return job.run_config(attempt)["settings"]["gang"]["nodes"]


@at_once
def test_a_gang_that_loses_a_pod_on_a_node_whose_accelerator_is_broken_goes_on_smaller(stage):
    job = stage.job("broken-device")
    _, broken = sorted(trains_on(stage, job, "a", "b", scheduling=SHRINKS))
    stage.kubelet.resize_node(broken, {job.accelerator: "0"})
    stage.evict(next(pod for pod in job.gang(1) if pod["spec"]["nodeName"] == broken))
    until(lambda: job.status.get("workers") == "1/1", seconds=150, what="a gang of one")
    job.go_on("train")
    status = job.wait_for("Succeeded")
    assert [record["reason"] for record in status["history"]] == ["Failed", "Shrunk", "Succeeded"]
    assert [record["nodes"] for record in status["history"]] == [2, 2, 1]
    assert job.counted() == ONE_DISRUPTION
