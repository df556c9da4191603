"""What is seen of a job's Jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tuneloop_operator.controller.observe import observe_job, short_of_pods
from tuneloop_operator.controller.store import Store

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
    store = Store()
    for one in (JOB, *manifests, *(child("Pod", f"p{number}", owner="u-reviews-a1") for number in range(pods))):
        store.put(one)
    return store


@pytest.mark.parametrize(("pods", "short"), [(0, True), (1, True), (2, False)])
def test_a_gang_is_short_of_pods_until_all_are_there(pods: int, short: bool) -> None:
    assert bool(short_of_pods(stored(gang(), pods=pods), JOB)) is short


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(gang(suspend=True), id="a queue holds it"),
        pytest.param(gang(metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"}), id="it is being deleted"),
        pytest.param(gang(status={"conditions": [{"type": "FailureTarget", "status": "True"}]}), id="it has failed"),
        pytest.param(gang(status={"conditions": [{"type": "Complete", "status": "True"}]}), id="it has succeeded"),
        pytest.param(gang(metadata={"ownerReferences": []}), id="it is not ours"),
    ],
)
def test_a_job_that_is_to_have_no_pods_is_not_short_of_them(job: dict[str, Any]) -> None:
    assert short_of_pods(stored(job), JOB) == ()


def test_pods_of_another_job_do_not_count() -> None:
    others = [child("Pod", name, owner="u-other") for name in ("x", "y")]
    assert short_of_pods(stored(gang(), *others), JOB) == ("u-reviews-a1",)


def test_what_the_api_server_refused_is_seen_at_its_job() -> None:
    other = child("Job", "reviews-a2", owner="u-job", spec={}, status={})
    seen = observe_job(stored(gang(), other), JOB, live=True, refused={"u-reviews-a1": "exceeded quota: few"})
    assert [one.refused for one in seen.jobs] == ["exceeded quota: few", ""]


HELD = {"conditions": [{"type": "Suspended", "status": "True"}]}
FREED = {"conditions": [{"type": "Suspended", "status": "False"}]}


@pytest.mark.parametrize(
    ("job", "suspended"),
    [
        pytest.param(gang(), False, id="never held"),
        pytest.param(gang(suspend=True), True, id="held from the start"),
        pytest.param(gang(suspend=True, status=FREED), True, id="held again"),
        pytest.param(gang(status=HELD), True, id="let go, which the Job controller does not know yet"),
        pytest.param(gang(status=FREED), False, id="let go"),
    ],
)
def test_a_job_is_suspended_until_the_job_controller_knows_that_it_is_not(job: dict[str, Any], suspended: bool) -> None:
    (seen,) = observe_job(stored(job), JOB).jobs
    assert seen.suspended is suspended


@pytest.mark.parametrize(
    ("status", "started"),
    [
        pytest.param({}, None, id="not let go yet"),
        pytest.param({"startTime": "2026-01-01T12:00:00Z"}, datetime(2026, 1, 1, 12, tzinfo=UTC), id="let go"),
        pytest.param({"startTime": "2026-01-01T12:00:00Z"} | HELD, None, id="let go again, which nobody has seen yet"),
    ],
)
def test_it_is_seen_since_when_a_job_may_have_pods(status: dict[str, Any], started: datetime | None) -> None:
    (seen,) = observe_job(stored(gang(status=status)), JOB).jobs
    assert seen.started == started
