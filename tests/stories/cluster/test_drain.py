"""A node is taken for maintenance in the midst of training, the operator dies meanwhile: the job ends by itself as if nothing had happened.

The worker is deleted, its gang begins again, the node is cordoned and drained by evictions, the operator is killed, the node comes back. There is one
node, so that the gang waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from cluster_release import Tenant
from cluster_stories import JOB, STEPS, first_checkpoint, kill_processes
from cluster_watch import watching

GANG = "tuneloop.dev/job=reviews,tuneloop.dev/stage=train"
DISRUPTIONS = {"Evicted", "Preempted"}
"""Of a pod that was deleted or evicted; which one depends on whether it ended in the same second, for times in pods have whole seconds."""


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What was observed of a job whose node was drained."""

    tenant: Tenant
    waited: dict[str, Any]
    """The status while the node was cordoned, as the new operator found it."""
    jobs: list[dict[str, Any]]
    """All statuses of the job, oldest first."""

    @property
    def job(self) -> dict[str, Any]:
        return self.jobs[-1]


@pytest.fixture(scope="module")
def drained(release, tmp_path_factory):
    tenant, folder = release.in_namespace("drained"), tmp_path_factory.mktemp("watches")
    with watching(release.cluster, "finetunejobs", namespace=tenant.namespace, folder=folder) as jobs:
        tenant.apply(JOB)
        tenant.until(lambda: status(tenant).get("phase") == "Running", what="a gang")
        first_checkpoint(tenant)
        (worker,) = tenant.pods(f"{GANG},batch.kubernetes.io/job-completion-index=1")
        tenant.kubectl("delete", "pod", worker["metadata"]["name"], "--wait=false")
        tenant.until(lambda: is_up(tenant, attempt=2), what="a second gang")
        node = worker["spec"]["nodeName"]
        mark(tenant, node, unschedulable=True)
        try:
            for pod in gang(tenant, attempt=2):
                evict(tenant, pod)
            tenant.until(lambda: is_without_room(status(tenant)), what="a gang without room")
            kill_operator(tenant)
            waited = status(tenant)
        finally:
            mark(tenant, node, unschedulable=None)
        tenant.finished("reviews")
        return Drained(tenant=tenant, waited=waited, jobs=jobs.statuses("reviews"))


def status(tenant: Tenant) -> dict[str, Any]:
    return tenant.status("finetunejobs", "reviews")


def is_up(tenant: Tenant, *, attempt: int) -> bool:
    found = status(tenant)
    return (found.get("attempt"), found.get("workers")) == (attempt, "2/2")


def is_without_room(status: dict[str, Any]) -> bool:
    ready = [condition for condition in status.get("conditions", ()) if condition["type"] == "PodsReady"]
    return status.get("attempt") == 3 and ready[0]["reason"] == "Unschedulable"


def gang(tenant: Tenant, *, attempt: int) -> list[dict[str, Any]]:
    return tenant.pods(f"{GANG},tuneloop.dev/attempt={attempt}")


def mark(tenant: Tenant, node: str, *, unschedulable: bool | None) -> None:
    """Cordon or uncordon the node, as kubectl does."""
    change = {"spec": {"unschedulable": unschedulable}}
    path = f"/api/v1/nodes/{node}"
    reply = tenant.release.cluster.request("PATCH", path, change, content_type="application/merge-patch+json")
    assert reply.status == 200, reply.body


def evict(tenant: Tenant, pod: dict[str, Any]) -> None:
    """Evict a pod as `kubectl drain` does; one that has just ended with its gang is gone already."""
    metadata = {"name": pod["metadata"]["name"], "namespace": tenant.namespace}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{tenant.namespace}/pods/{metadata['name']}/eviction"
    reply = tenant.release.cluster.request("POST", path, body)
    assert reply.status in {201, 404}, reply.body


def kill_operator(tenant: Tenant) -> None:
    """End the operator and its pod without a good-bye. The node is cordoned, so that its successor comes up only once that is over."""
    pod = tenant.release.operator_pod()
    kill_processes(pod)
    name = pod["metadata"]["name"]
    tenant.release.cluster.kubectl("delete", "pod", name, "-n", tenant.release.namespace, "--grace-period=0", "--force")


def test_the_job_ends_by_itself_with_the_artifact_of_an_undisturbed_run(drained, served):
    assert drained.job["phase"] == "Succeeded"
    assert drained.job["artifact"]["digest"] == served.job["artifact"]["digest"]


def test_the_gang_waits_for_room_and_says_so_in_the_scheduler_s_words(drained):
    (ready,) = [condition for condition in drained.waited["conditions"] if condition["type"] == "PodsReady"]
    assert drained.waited["phase"] == "Restarting"
    assert "unschedulable" in ready["message"], ready


def test_each_disruption_is_counted_once_and_nobody_is_blamed(drained):
    restarts = drained.job["restarts"]
    counted = {name: restarts[name] for name in ("total", "disruption", "failure")}
    assert counted == {"total": 2, "disruption": 2, "failure": 0}
    assert {record["class"] for record in drained.job["history"][:-1]} <= DISRUPTIONS


def test_each_attempt_goes_on_where_the_one_before_saved(drained):
    *_, last = drained.job["history"]
    starts = [record["startStep"] for record in drained.job["history"] if "startStep" in record]
    assert [record["attempt"] for record in drained.job["history"]] == [1, 2, 3]
    assert starts == sorted(starts)
    assert (last["endStep"], last["reason"], drained.job["resume"]) == (STEPS, "Succeeded", "exact")


def test_no_node_is_avoided_for_being_drained(drained):
    assert "avoidedNodes" not in drained.job
