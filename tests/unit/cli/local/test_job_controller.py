"""The pure step of the Job controller. The conformance table checks what the step does to real pods."""

from __future__ import annotations

import copy
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from local_manifests import job

from tuneloop_cli.local.cluster.pod_objects import is_true
from tuneloop_cli.local.controllers.job_controller import job_step

NOW = "2026-01-31T12:00:00Z"


class StoredJob:
    """A Job and its pods in a store. `take_step` carries out a step, and is killed after the first `writes` writes."""

    def __init__(self, nodes: int) -> None:
        self.job = job("gang", "true", nodes=nodes) | {"status": {}}
        self.job["metadata"]["uid"] = "job"
        self.pods: dict[str, dict] = {}
        self.numbers = count()

    def take_step(self, writes: int = 1000) -> bool:
        """Return whether the step changed the store."""
        before = copy.deepcopy((self.job, self.pods))
        step = job_step(
            copy.deepcopy(self.job),
            copy.deepcopy([*self.pods.values()]),
            now=NOW,
            suffix=lambda: str(next(self.numbers)),
        )
        acts = [
            *((self.create, pod) for pod in step.create),
            *((self.delete, pod) for pod in step.delete),
            (self.write, step.status),
            *((self.release, pod) for pod in step.release),
        ]
        for act, what in acts[:writes]:
            act(what)
        return (self.job, self.pods) != before

    def create(self, pod) -> None:
        pod["metadata"]["uid"] = pod["metadata"]["name"]
        self.pods[pod["metadata"]["uid"]] = pod

    def delete(self, pod) -> None:
        if pod["metadata"]["uid"] in self.pods:
            self.pods[pod["metadata"]["uid"]]["metadata"]["deletionTimestamp"] = NOW

    def write(self, status) -> None:
        self.job["status"] = status

    def release(self, pod) -> None:
        released = self.pods.get(pod["metadata"]["uid"])
        if released is not None:
            released["metadata"]["finalizers"] = []
            self.sweep()

    def end(self, index: int, phase: str) -> None:
        """Let the pod of an index end; a pod that is being deleted is removed."""
        for pod in self.pods.values():
            running = pod["status"]["phase"] in {"Pending", "Running"}
            if running and pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == str(index):
                pod["status"]["phase"] = phase
        self.sweep()

    def sweep(self) -> None:
        ended = {"Succeeded", "Failed"}
        gone = [
            uid
            for uid, pod in self.pods.items()
            if "deletionTimestamp" in pod["metadata"]
            and not pod["metadata"]["finalizers"]
            and pod["status"]["phase"] in ended
        ]
        for uid in gone:
            del self.pods[uid]

    def settle(self) -> None:
        for _ in range(20):
            if not self.take_step():
                return
        raise AssertionError("does not settle")


ENDS = st.sampled_from(["Succeeded", "Failed"])


@settings(deadline=None)
@given(
    nodes=st.integers(1, 4),
    ends=st.lists(st.tuples(st.integers(0, 3), ENDS, st.lists(st.integers(0, 6), max_size=3)), max_size=8),
)
def test_each_pod_counts_once_wherever_the_controller_is_killed(nodes, ends):
    stored = StoredJob(nodes)
    stored.settle()
    succeeded: set[int] = set()
    lost = False
    for index, phase, kills in ends:
        if index >= nodes or index in succeeded or lost:
            continue
        stored.end(index, phase)
        succeeded |= {index} if phase == "Succeeded" else set()
        lost = phase == "Failed"
        for writes in kills:
            stored.take_step(writes)
        stored.settle()
    for index in range(nodes):  # what is being deleted ends, too
        if lost:
            stored.end(index, "Failed")
    stored.settle()
    status = stored.job["status"]
    assert status["succeeded"] == len(succeeded)
    assert status["failed"] == (nodes - len(succeeded) if lost else 0)
    assert status["active"] == (0 if lost else nodes - len(succeeded))
    assert is_true(status["conditions"], "Failed") == lost
    assert is_true(status["conditions"], "Complete") == (len(succeeded) == nodes)


@settings(deadline=None, max_examples=40)
@given(indexes=st.sets(st.integers(0, 7)))
def test_completed_indexes_are_read_back_as_they_were_written(indexes):
    stored = StoredJob(8)
    stored.settle()
    for index in indexes:
        stored.end(index, "Succeeded")
        stored.settle()
    again = StoredJob(8)
    again.job["status"] = {"completedIndexes": stored.job["status"].get("completedIndexes", "")}
    again.take_step()
    missing = {
        int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]) for pod in again.pods.values()
    }
    assert missing == set(range(8)) - indexes


def test_a_finished_job_is_left_alone():
    stored = StoredJob(1)
    stored.settle()
    stored.end(0, "Succeeded")
    stored.settle()
    stored.job["spec"]["suspend"] = True
    assert not stored.take_step()
