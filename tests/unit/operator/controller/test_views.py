"""The whole view of a pod and of a Job, field by field, from an object in which every field is set, and from one that is bare."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe import fine_tune_job, model_deployment
from tuneloop_operator.controller.observe.common import LONG_AGO, present_children, time_of
from tuneloop_operator.controller.observe.fine_tune_job import job_view, pod_view
from tuneloop_operator.controller.trim import FIRST_DELETION
from tuneloop_operator.state.observed import Blocker, ContainerEnd, Facts, JobView, PodView

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LABELS = {"tuneloop.dev/job": "reviews", "tuneloop.dev/stage": "train", "tuneloop.dev/attempt": "3"}
OWNER = [{"kind": "Job", "name": "other", "uid": "u-other"}, {"kind": "Job", "name": "reviews-a3", "uid": "u-a3", "controller": True}]  # fmt: skip


def stamp(seconds: int = 0) -> str:
    return (NOON + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def at(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


def bare(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    named = {"name": name, "namespace": "team-a", "uid": f"u-{name}", "labels": LABELS, "ownerReferences": OWNER}
    return {"apiVersion": "v1", "kind": kind, "metadata": named | metadata}


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
SEEN_POD = PodView(
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
    assert pod_view(POD) == SEEN_POD


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


def test_the_view_of_a_job_in_which_everything_is_set() -> None:
    condition = {"type": "FailureTarget", "status": "True", "lastTransitionTime": stamp(30), "message": "a pod failed"}
    status = {"startTime": stamp(2), "conditions": [{"type": "Suspended", "status": "False"}, condition]}
    manifest = bare("Job", "reviews-a3", creationTimestamp=stamp(1), deletionTimestamp=stamp(40)) | {
        "spec": {"parallelism": 4, "suspend": False},
        "status": status,
    }
    assert job_view(manifest, pods=1, refusal="exceeded quota") == JobView(
        name="reviews-a3",
        uid="u-reviews-a3",
        stage="train",
        attempt=3,
        created=at(1),
        started=at(2),
        suspended=False,
        missing_pods=0,
        refusal="exceeded quota",
        deleting=True,
        outcome="Failed",
        outcome_since=at(30),
        outcome_message="a pod failed",
    )


@pytest.mark.parametrize("rest", [{}, {"status": None, "spec": {}}, {"status": {"conditions": None}}])
def test_the_view_of_a_bare_job(rest: dict[str, Any]) -> None:
    assert job_view(bare("Job", "j") | rest, pods=0, refusal=None) == JobView(
        name="j", uid="u-j", stage="train", attempt=3, created=LONG_AGO, missing_pods=1
    )


@pytest.mark.parametrize(
    ("conditions", "outcome", "since"),
    [
        ([("Complete", "True")], "Succeeded", 0),
        ([("SuccessCriteriaMet", "True"), ("Complete", "True")], "Succeeded", 0),
        ([("FailureTarget", "True"), ("Failed", "True")], "Failed", 0),
        ([("Failed", "False"), ("Complete", "True")], "Succeeded", 1),
        ([("Failed", "Unknown")], None, None),
        ([("Suspended", "True"), ("Failed", "True")], "Failed", 1),
    ],
)
def test_the_first_true_condition_is_the_outcome(
    conditions: list[tuple[str, str]], outcome: str | None, since: int | None
) -> None:
    written = [
        {"type": type_, "status": status, "lastTransitionTime": stamp(place), "message": str(place)}
        for place, (type_, status) in enumerate(conditions)
    ]
    view = job_view(bare("Job", "j") | {"status": {"conditions": written}}, pods=0, refusal=None)
    assert view.outcome == outcome
    assert (view.outcome_since, view.outcome_message) == ((None, "") if since is None else (at(since), str(since)))


JOB: dict[str, Any] = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "reviews", "namespace": "team-a", "uid": "u", "resourceVersion": "1"},
    "spec": {
        "model": {"uri": "hf://a/b"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/x.csv"}]},
    },
}
OURS = [{"kind": "FineTuneJob", "name": "reviews", "uid": "u", "controller": True}]


def test_an_observation_holds_everything_in_order() -> None:
    store = new_store()
    for number in (2, 1):
        labels = LABELS | {"tuneloop.dev/attempt": str(number)}
        store.put(bare("Job", f"j{number}", labels=labels, ownerReferences=OURS))
        for index in (1, 0):
            annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
            store.put(bare("Pod", f"p{number}{index}", labels=labels, annotations=annotations))
    elsewhere = bare("Job", "elsewhere", namespace="team-b", ownerReferences=OURS)
    unlabelled = bare("Job", "k", labels={"tuneloop.dev/job": "reviews"}, ownerReferences=OURS)
    odd = bare("Job", "l", labels=LABELS | {"tuneloop.dev/attempt": "x"}, ownerReferences=OURS)
    service = bare("Service", "s", ownerReferences=OURS)
    theirs = bare("Service", "t")
    for manifest in (elsewhere, unlabelled, odd, service, theirs, bare("Pod", "orphan", ownerReferences=[])):
        store.put(manifest)
    facts = Facts(live=True, progress_written=NOON, blocker=Blocker(reason="Refused", message="quota"))
    found = fine_tune_job.observe(store, JOB, facts)
    assert [view.name for view in found.jobs] == ["j1", "j2"]
    assert [view.name for view in found.pods] == ["p10", "p11", "p20", "p21"]
    assert list(found.present) == [("Service", "s")]
    assert (found.live, found.progress_written, found.blocker) == (True, NOON, facts.blocker)
    assert (found.uid, found.manifest, found.progress) == ("u", JOB, None)


@pytest.mark.parametrize(
    ("status", "phase", "ready"),
    [
        ({"phase": "Running", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}, "Failed", False),
        ({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}, "Succeeded", False),
        ({"phase": "Failed", "conditions": None}, "Failed", False),
    ],
)
def test_a_pod_that_is_gone_is_in_a_terminal_phase_and_not_ready(
    status: dict[str, Any], phase: str, ready: bool
) -> None:
    store = new_store()
    ready_too = {"conditions": [*(status.get("conditions") or ()), {"type": "Ready", "status": "True"}]}
    status = status | (ready_too if status.get("conditions", ()) is not None else {})
    gang = bare("Job", "reviews-a3", uid="u-a3", ownerReferences=OURS)
    pod = bare("Pod", "p", ownerReferences=OWNER[1:]) | {"status": status}
    for manifest in (JOB, gang, pod):
        store.put(manifest)
    store.remove(pod)
    (view,) = fine_tune_job.observe(store, JOB, Facts()).pods
    assert (view.phase, view.ready) == (phase, ready)
    store.remove(gang)
    child = {"name": "reviews-a3", "uid": "u-a3"}
    assert fine_tune_job.observe(store, JOB, Facts()).pods == ()
    last = JOB | {"status": {"children": {"train": child}}}
    assert [pod.name for pod in fine_tune_job.observe(store, last, Facts()).pods] == ["p"]


def test_children_are_those_of_the_owner_except_jobs_and_pods() -> None:
    children = [bare(kind, "a", ownerReferences=OURS) for kind in ("Job", "Pod", "Service", "ConfigMap")]
    found = present_children([*children, bare("Service", "b")], uid="u")
    assert found == {(kind, "a"): bare(kind, "a", ownerReferences=OURS) for kind in ("Service", "ConfigMap")}
    assert (time_of(None), time_of(""), time_of(stamp(7))) == (None, None, at(7))


@pytest.mark.parametrize(
    ("manifest", "references"),
    [
        ({}, []),
        ({"spec": None}, []),
        ({"spec": {"model": None}}, []),
        ({"spec": {"model": {"fineTuneJobRef": None}}}, []),
        ({"spec": {"model": {"fineTuneJobRef": {}}}}, []),
        ({"spec": {"model": {"fineTuneJobRef": {"name": "reviews"}}}}, [("FineTuneJob", "reviews")]),
    ],
)
def test_a_deployment_refers_to_its_job_whether_it_fits_its_model_or_not(
    manifest: dict[str, Any], references: list[tuple[str, str]]
) -> None:
    assert list(model_deployment.references_of(manifest)) == references


@pytest.mark.parametrize(("broken", "problem"), [(False, ""), (True, "spec.surprise: found 1; ")])
def test_the_observation_of_a_deployment(broken: bool, problem: str) -> None:
    store = new_store()
    store.put(JOB | {"spec": JOB["spec"] | ({"surprise": 1} if broken else {})})
    metadata = {"name": "api", "namespace": "team-a", "uid": "u-api"}
    spec = {"model": {"fineTuneJobRef": {"name": "reviews"}}}
    deployment = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
    owner = [{"kind": "ModelDeployment", "name": "api", "uid": "u-api", "controller": True}]
    for namespace, uid in (("team-a", "u-s"), ("team-b", "u-t")):
        labels = {"tuneloop.dev/deployment": "api"}
        store.put(bare("Service", "s", namespace=namespace, uid=uid, labels=labels, ownerReferences=owner))
    blocker = Blocker(reason="Refused", message="quota")
    found = model_deployment.observe(store, deployment, Facts(live=True, blocker=blocker))
    assert (found.source is None, found.source_problem.startswith(problem), found.source_problem == "") == (broken, True, not broken)  # fmt: skip
    assert [child["metadata"]["uid"] for child in found.present.values()] == ["u-s"]
    assert (found.live, found.blocker, found.manifest) == (True, blocker, deployment)
