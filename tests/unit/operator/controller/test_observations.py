"""The whole observation of a FineTuneJob and of a ModelDeployment: which children count, in which order, and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest
from child_manifests import JOB_OWNERS, LABELS, NOON, at, bare, stamp

from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe import fine_tune_job, model_deployment
from tuneloop_operator.controller.observe.common import present_children, time_of
from tuneloop_operator.state.observed import Blocker, Facts
from tuneloop_operator.state.router_report import RouterReport

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
    pod = bare("Pod", "p", ownerReferences=JOB_OWNERS[1:]) | {"status": status}
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
    reports = tuple(RouterReport(router=name, in_force=3) for name in ("router-a", "router-b"))
    for report in reversed(reports):
        store.put_router_report("u-api", report)
    store.put_router_report("another", RouterReport(router="router-c", in_force=3))
    blocker = Blocker(reason="Refused", message="quota")
    found = model_deployment.observe(store, deployment, Facts(live=True, blocker=blocker))
    assert (found.source is None, found.source_problem.startswith(problem), found.source_problem == "") == (broken, True, not broken)  # fmt: skip
    assert [child["metadata"]["uid"] for child in found.present.values()] == ["u-s"]
    assert (found.live, found.blocker, found.manifest) == (True, blocker, deployment)
    assert found.routers == reports
