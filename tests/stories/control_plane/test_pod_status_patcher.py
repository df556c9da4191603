"""Pods that run nowhere live as their scripts say, and the real Job controller draws its conclusions."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from pod_scripts import (
    Disrupt,
    End,
    PodLifecycle,
    Run,
    Stop,
    Until,
    before_the_end,
    by_attempt,
    by_index,
    fail,
    hang,
    succeed,
)
from pod_status_patcher import PodStatusPatcher
from waiting import until

from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.controller.observe.fine_tune_job import pod_view
from tuneloop_operator.decide.fine_tune_job.classify import termination_message_of

NAME = "reviews-a1"
NODES = [f"played-{number}" for number in range(3)]


@pytest.fixture
def patcher(control_plane, namespace):
    """Return a function that makes a patcher for this namespace."""
    return lambda **options: PodStatusPatcher(control_plane, namespace=namespace, nodes=NODES, **options)


class GangJobs:
    """One namespace of the control plane."""

    def __init__(self, control_plane, namespace):
        self._plane = control_plane
        self.namespace = namespace
        self.path = f"/apis/batch/v1/namespaces/{namespace}/jobs"

    def create(self, nodes=2, *, stage="train", name=NAME, attempt=1, grace=30):
        """Make a Job as the operator makes the gang of an attempt."""
        labels = {
            "app.kubernetes.io/managed-by": "tuneloop",
            "tuneloop.dev/job": "reviews",
            "tuneloop.dev/stage": stage,
            "tuneloop.dev/attempt": str(attempt),
        }
        pod = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace,
            "containers": [{"name": "trainer", "image": "trainer:1"}],
        }
        spec = {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": 0,
            "podReplacementPolicy": "TerminatingOrFailed",
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}, "spec": spec}
        reply = self._plane.request("POST", self.path, body)
        assert reply.status == 201, reply.body

    def wait(self, condition, *, name=NAME, seconds=20.0):
        """Return the Job once it has this condition."""
        return until(lambda: self._job_if(name, condition), seconds=seconds, what=condition)

    def pods(self):
        """Return the pods by rank."""
        items = self._plane.request("GET", f"/api/v1/namespaces/{self.namespace}/pods").body["items"]
        return sorted(items, key=lambda pod: pod["metadata"]["name"])

    def wait_for_phase(self, phase, number):
        """Return the pods once so many are in this phase."""
        return until(lambda: self._pods_in(phase, number), seconds=20, what=f"{number} pods {phase}")

    def delete(self, name=NAME):
        reply = self._plane.request("DELETE", f"{self.path}/{name}", {"propagationPolicy": "Background"})
        assert reply.status == 200, reply.body

    def _job_if(self, name, condition_type):
        job = self._plane.request("GET", f"{self.path}/{name}").body
        conditions = {condition["type"]: condition["status"] for condition in job["status"].get("conditions", ())}
        return job if conditions.get(condition_type) == "True" else None

    def _pods_in(self, phase, number):
        found = [pod for pod in self.pods() if pod["status"]["phase"] == phase]
        return found if len(found) == number else None


@pytest.fixture
def jobs(control_plane, namespace):
    return GangJobs(control_plane, namespace)


def test_a_gang_whose_pods_succeed_is_complete(jobs, patcher):
    with patcher() as kubelet:
        jobs.create(3)
        job = jobs.wait("Complete")
        assert kubelet.ended == 3
    assert (job["status"]["succeeded"], job["status"]["completedIndexes"]) == (3, "0-2")


@pytest.mark.parametrize("name", ["succeed", "succeed_at_once"])
def test_a_pod_that_succeeded_hands_on_its_result(jobs, patcher, name):
    with patcher(scripts={"train": name}):
        jobs.create(2)
        jobs.wait("Complete")
    messages = [termination_message_of(pod_view(pod)) for pod in jobs.pods()]
    assert [message.result is not None for message in messages] == [True, False]


def test_a_running_pod_is_bound_ready_and_has_its_image(jobs, patcher):
    with patcher(scripts={"train": "hang"}):
        jobs.create(2)
        pods = [pod_view(pod) for pod in jobs.wait_for_phase("Running", 2)]
    assert [(pod.node, pod.ready) for pod in pods] == [(NODES[0], True), (NODES[1], True)]
    assert all(pod.image.startswith("trainer@sha256:") for pod in pods)


def test_the_rest_of_a_gang_is_stopped_and_goes_away_when_one_fails(jobs, patcher):
    scripts = {"train": by_index({1: fail(FailureClass.DATA)}, otherwise=hang)}
    with patcher(scripts=scripts):
        jobs.create(3)
        job = jobs.wait("Failed")
        (left,) = until(lambda: jobs.pods() if len(jobs.pods()) == 1 else None, seconds=20, what="one pod")
    assert job["status"]["failed"] == 3
    assert left["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 65


def test_each_attempt_follows_its_own_script(jobs, patcher):
    with patcher(scripts={"train": by_attempt(fail(FailureClass.COLLECTIVE), succeed)}):
        jobs.create(1, name="reviews-a1", attempt=1)
        jobs.wait("Failed", name="reviews-a1")
        jobs.create(1, name="reviews-a2", attempt=2)
        jobs.wait("Complete", name="reviews-a2")


def test_runs_of_a_stage_without_numbers_are_counted(jobs, patcher):
    with patcher(scripts={"prepare": by_attempt(fail(FailureClass.STORAGE), succeed)}):
        jobs.create(1, stage="prepare", attempt=0)
        jobs.wait("Failed")
        jobs.delete()
        until(lambda: not jobs.pods(), seconds=20, what="no pods")
        jobs.create(1, stage="prepare", attempt=0)
        jobs.wait("Complete")


def test_the_script_of_one_job_wins_over_that_of_its_stage(jobs, patcher):
    with patcher(scripts={"train": "hang", "reviews/train": "succeed"}):
        jobs.create(1)
        jobs.wait("Complete")


def test_a_pod_waits_until_the_test_lets_it_end(jobs, patcher):
    go = threading.Event()
    with patcher(scripts={"train": before_the_end(succeed, Until(go))}) as kubelet:
        jobs.create(1)
        (pod,) = jobs.wait_for_phase("Running", 1)
        name = pod["metadata"]["name"]
        until(
            lambda: any(isinstance(step, Run) for step in kubelet.steps_of(name, namespace=jobs.namespace)),
            seconds=10,
            what="running",
        )
        assert kubelet.ended == 0
        go.set()
        jobs.wait("Complete")  # fmt: skip


def test_a_test_can_play_a_pod_by_hand(jobs, patcher):
    with patcher(scripts={"train": "hang"}) as kubelet:
        jobs.create(1)
        jobs.wait_for_phase("Running", 1)
        (name,) = kubelet.pods(namespace=jobs.namespace)
        kubelet.play(name, Disrupt("EvictionByEvictionAPI"), End(143, pod_reason="Evicted"), namespace=jobs.namespace)
        jobs.wait("Failed")
    (pod,) = jobs.pods()
    assert (pod_view(pod).disruption, pod["status"]["reason"]) == ("EvictionByEvictionAPI", "Evicted")


@pytest.mark.parametrize("script", ["never_scheduled", "no_image"])
def test_a_pod_that_cannot_start_goes_away_with_its_job(jobs, patcher, script):
    with patcher(scripts={"train": script}) as kubelet:
        jobs.create(1)
        kubelet.wait_for(lambda: len(kubelet.pods(namespace=jobs.namespace)) == 1)
        jobs.wait_for_phase("Pending", 1)
        jobs.delete()
        until(lambda: not jobs.pods(), seconds=20, what="no pods")


@pytest.mark.parametrize(
    ("stops_after", "grace", "least", "most"),
    [
        pytest.param(0.0, 30, 0.0, 3.0, id="one that obeys SIGTERM goes at once"),
        pytest.param(2.0, 30, 1.9, 6.0, id="one that saves first takes its time"),
        pytest.param(60.0, 2, 1.9, 6.0, id="one that ignores SIGTERM is killed after the grace period"),
    ],
)
def test_a_deleted_pod_ends_as_its_lifecycle_says(jobs, patcher, stops_after, grace, least, most):
    def script(*call):
        return PodLifecycle(hang(*call).steps, stop=Stop(stops_after))

    with patcher(scripts={"train": script}):
        jobs.create(1, grace=grace)
        jobs.wait_for_phase("Running", 1)
        started = time.monotonic()
        jobs.delete()
        until(lambda: not jobs.pods(), seconds=20, what="no pods")
    assert least <= time.monotonic() - started <= most


def test_pods_of_a_lost_node_stay_until_it_comes_back(jobs, control_plane, patcher):
    with patcher(scripts={"train": "hang"}) as kubelet:
        jobs.create(2)
        pods = jobs.wait_for_phase("Running", 2)
        lost = pods[0]["spec"]["nodeName"]
        kubelet.lose_node(lost)
        node = control_plane.request("GET", f"/api/v1/nodes/{lost}").body
        conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
        assert conditions["Ready"] == "Unknown"
        jobs.delete()
        (left,) = until(lambda: jobs.pods() if len(jobs.pods()) == 1 else None, seconds=20, what="one pod")
        assert (left["spec"]["nodeName"], left["status"]["phase"]) == (lost, "Running")
        kubelet.restore_node(lost)
        until(lambda: not jobs.pods(), seconds=20, what="no pods")


def test_a_write_that_is_refused_fails_the_test(jobs, patcher):
    broken = PodLifecycle((End(message="x" * 100), Run()))  # a container that ended cannot run again
    kubelet = patcher(scripts={"train": lambda *_: broken})
    kubelet.__enter__()
    jobs.create(1)
    kubelet.wait_for(lambda: kubelet.problems != [], timeout_seconds=10)
    with pytest.raises(AssertionError, match="may not be transitioned"):
        kubelet.__exit__(None, None, None)


def test_hundreds_of_pods_end_in_seconds(jobs, patcher):
    with patcher(scripts={"train": "succeed_at_once"}) as kubelet:
        jobs.create(300)
        started = datetime.now(UTC)
        jobs.wait("Complete", seconds=60)
        assert kubelet.ended == 300
    print(f"300 pods in {(datetime.now(UTC) - started).total_seconds():.1f} s")
