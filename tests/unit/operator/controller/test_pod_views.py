"""The whole view of a pod, field by field, from a pod in which every field is set, and from one that is bare."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from child_manifests import at, bare, stamp

from tuneloop_operator.controller.observe.fine_tune_job import pod_view
from tuneloop_operator.controller.trim import FIRST_DELETION
from tuneloop_operator.state.observed import LONG_AGO, ContainerEnd, PodView

POD: dict[str, Any] = {
    **bare(
        "Pod",
        "p",
        annotations={"batch.kubernetes.io/job-completion-index": "5"},
        creationTimestamp=stamp(1),
        deletionTimestamp=stamp(60),
        deletionGracePeriodSeconds=40,
    ),
    "spec": {"nodeName": "node-1"},
    "status": {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "low on memory",
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "PodScheduled", "status": "False", "message": "no room"},
            {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"},
        ],
        "containerStatuses": [
            {
                "imageID": "trainer@sha256:cc",
                "state": {
                    "terminated": {
                        "exitCode": 77,
                        "reason": "Error",
                        "message": "lost a peer",
                        "startedAt": stamp(2),
                        "finishedAt": stamp(30),
                    }
                },
            }
        ],
    },
}
VIEW = PodView(
    name="p",
    uid="u-p",
    stage="train",
    attempt=3,
    owner="u-a3",
    index=5,
    phase="Failed",
    reason="Evicted",
    message="low on memory",
    node="node-1",
    image="trainer@sha256:cc",
    created=at(1),
    ready=True,
    started=at(2),
    ended=ContainerEnd(exit_code=77, reason="Error", message="lost a peer", finished=at(30)),
    unschedulable="no room",
    disruption="DeletionByTaintManager",
    deletion_asked=at(20),
    gone_by=at(60),
)


def with_status(**status: Any) -> dict[str, Any]:
    return POD | {"status": status}


def test_the_view_of_a_pod_in_which_everything_is_set() -> None:
    assert pod_view(POD) == VIEW


@pytest.mark.parametrize("status", [{}, {"status": None}, {"status": {"conditions": None, "containerStatuses": None}}])
def test_the_view_of_a_bare_pod(status: dict[str, Any]) -> None:
    pod = bare("Pod", "p", ownerReferences=None) | status
    assert pod_view(pod) == PodView(name="p", uid="u-p", stage="train", attempt=3, owner="", created=LONG_AGO)
    assert pod_view(pod).created == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_pod_that_waits_says_why() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}
    view = pod_view(with_status(containerStatuses=[{"state": waiting}, {"state": {"waiting": {"reason": "Other"}}}]))
    assert (view.waiting, view.waiting_message, view.started, view.ended) == ("ImagePullBackOff", "no such tag", None, None)  # fmt: skip
    assert pod_view(with_status(containerStatuses=[{"state": {"waiting": {}}}])).waiting == ""


def test_a_pod_that_runs_says_since_when() -> None:
    view = pod_view(with_status(containerStatuses=[{"state": {"running": {"startedAt": stamp(9)}}}]))
    assert (view.started, view.ended, view.phase) == (at(9), None, "Pending")
    assert pod_view(with_status(containerStatuses=[{"state": None}])).started is None


def test_the_end_of_a_container_without_details() -> None:
    view = pod_view(with_status(containerStatuses=[{"state": {"terminated": {"exitCode": 0}}}]))
    assert view.ended == ContainerEnd(exit_code=0, finished=LONG_AGO)


@pytest.mark.parametrize("status", ["True", "False", "Unknown"])
def test_a_condition_counts_by_its_status(status: str) -> None:
    words = {"message": "words", "reason": "Reason"}
    types = ("Ready", "PodScheduled", "DisruptionTarget")
    view = pod_view(with_status(conditions=[{"type": type_, "status": status} | words for type_ in types]))
    assert view.ready == (status == "True")
    assert view.unschedulable == ("words" if status == "False" else "")
    assert view.disruption == ("Reason" if status == "True" else "")
    wordless = pod_view(with_status(conditions=[{"type": type_, "status": status} for type_ in types]))
    assert (wordless.unschedulable, wordless.disruption) == ("", "")


def test_the_first_request_of_a_deletion_counts() -> None:
    first = {"deletionTimestamp": stamp(50), "deletionGracePeriodSeconds": 40}
    later = {FIRST_DELETION: first, "deletionTimestamp": stamp(60), "deletionGracePeriodSeconds": 0}
    view = pod_view(POD | {"metadata": POD["metadata"] | later})
    assert (view.deletion_asked, view.gone_by) == (at(10), at(60))
    at_once = {"deletionTimestamp": stamp(60), "deletionGracePeriodSeconds": None}
    assert pod_view(POD | {"metadata": POD["metadata"] | at_once}).deletion_asked == at(60)
