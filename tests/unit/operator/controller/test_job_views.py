"""The whole view of a Job, field by field, from a Job in which every field is set, and from one that is bare."""

from __future__ import annotations

from typing import Any

import pytest
from child_manifests import at, bare, stamp

from tuneloop_operator.controller.observe.fine_tune_job import job_view
from tuneloop_operator.state.observed import LONG_AGO, JobView


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
