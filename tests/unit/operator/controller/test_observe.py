"""The views of a job's Jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe.fine_tune_job import observe
from tuneloop_operator.controller.store import Store
from tuneloop_operator.state.observed import Facts, JobView

JOB: dict[str, Any] = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "reviews", "namespace": "team-a", "uid": "u-job", "resourceVersion": "1"},
    "spec": {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/reviews.csv"}]},
    },
}
LABELS = {
    "app.kubernetes.io/managed-by": "tuneloop",
    "tuneloop.dev/job": "reviews",
    "tuneloop.dev/stage": "train",
    "tuneloop.dev/attempt": "1",
}


def child(kind: str, name: str, *, owner: str, **fields: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "team-a",
        "uid": f"u-{name}",
        "resourceVersion": "1",
        "labels": LABELS,
        "ownerReferences": [{"uid": owner, "controller": True}],
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata | fields.pop("metadata", {})} | fields


def gang(
    *, metadata: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    given = {"metadata": metadata or {}, "status": status or {}, "spec": {"parallelism": 2} | spec}
    return child("Job", "reviews-a1", owner="u-job", **given)


def stored(*manifests: dict[str, Any], pods: int = 0) -> Store:
    store = new_store()
    for manifest in (JOB, *manifests, *(child("Pod", f"p{number}", owner="u-reviews-a1") for number in range(pods))):
        store.put(manifest)
    return store


def job_views(store: Store, **facts: Any) -> tuple[JobView, ...]:
    return observe(store, JOB, Facts(**facts)).jobs


@pytest.mark.parametrize(("pods", "missing"), [(0, 2), (1, 1), (2, 0), (3, 0)])
def test_pods_of_a_gang_are_missing_until_all_exist(pods: int, missing: int) -> None:
    (view,) = job_views(stored(gang(), pods=pods))
    assert view.missing_pods == missing


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(gang(suspend=True), id="a queue holds it"),
        pytest.param(gang(metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"}), id="it is being deleted"),
        pytest.param(gang(status={"conditions": [{"type": "FailureTarget", "status": "True"}]}), id="it has failed"),
        pytest.param(gang(status={"conditions": [{"type": "Complete", "status": "True"}]}), id="it has succeeded"),
    ],
)
def test_no_pod_is_missing_of_a_job_that_may_have_none(job: dict[str, Any]) -> None:
    (view,) = job_views(stored(job))
    assert view.missing_pods == 0


def test_a_job_of_another_owner_is_not_observed() -> None:
    assert job_views(stored(gang(metadata={"ownerReferences": []}))) == ()


def test_pods_of_another_job_do_not_count() -> None:
    others = [child("Pod", name, owner="u-other") for name in ("x", "y")]
    (view,) = job_views(stored(gang(), *others))
    assert view.missing_pods == 2


def test_a_refusal_belongs_to_its_job() -> None:
    other = child("Job", "reviews-a2", owner="u-job", spec={}, status={})
    views = job_views(stored(gang(), other), live=True, refusals={"u-reviews-a1": "exceeded quota: few"})
    assert [view.refusal for view in views] == ["exceeded quota: few", None]


SUSPENDED = {"conditions": [{"type": "Suspended", "status": "True"}]}
RESUMED = {"conditions": [{"type": "Suspended", "status": "False"}]}


@pytest.mark.parametrize(
    ("job", "suspended"),
    [
        pytest.param(gang(), False, id="never suspended"),
        pytest.param(gang(suspend=True), True, id="suspended from the start"),
        pytest.param(gang(suspend=True, status=RESUMED), True, id="suspended again"),
        pytest.param(gang(status=SUSPENDED), True, id="resumed, which the Job controller has not handled yet"),
        pytest.param(gang(status=RESUMED), False, id="resumed"),
    ],
)
def test_a_job_is_suspended_until_the_job_controller_has_handled_the_resume(
    job: dict[str, Any], suspended: bool
) -> None:
    (view,) = job_views(stored(job))
    assert view.suspended is suspended


@pytest.mark.parametrize(
    ("status", "started"),
    [
        pytest.param({}, None, id="not started yet"),
        pytest.param({"startTime": "2026-01-01T12:00:00Z"}, datetime(2026, 1, 1, 12, tzinfo=UTC), id="started"),
        pytest.param(
            {"startTime": "2026-01-01T12:00:00Z"} | SUSPENDED,
            None,
            id="resumed, which the Job controller has not handled yet",
        ),
    ],
)
def test_a_job_shows_since_when_it_may_have_pods(status: dict[str, Any], started: datetime | None) -> None:
    (view,) = job_views(stored(gang(status=status)))
    assert view.started == started
