"""Where a job finds the feedback that it reads, in local mode."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_cli.local.errors import NotAccepted
from tuneloop_cli.local.feedback_places import places_of

KEEPS = {"storeInputs": "all", "storage": {"claim": "labels"}}


def job(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "again", "namespace": "default"},
        "spec": {
            "model": {"uri": "pvc://demo/model"},
            "task": "text-classification",
            "data": {"train": [{"uri": "feedback://reviews"}]},
            **spec,
        },
    }


def deployment(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"model": {"uri": "pvc://demo/artifact"}, **spec},
    }


def test_the_deployment_says_where_its_rows_are() -> None:
    places = places_of(job(), lambda _: deployment(feedback=KEEPS))
    assert list(places) == ["reviews"]
    assert places["reviews"].startswith("pvc://labels/")


@pytest.mark.parametrize("stored", [None, deployment()], ids=["no deployment", "one that keeps no rows"])
def test_a_job_without_rows_is_refused_unless_it_rests(stored: dict[str, Any] | None) -> None:
    with pytest.raises(NotAccepted, match="feedback://reviews"):
        places_of(job(), lambda _: stored)
    assert places_of(job(suspend=True), lambda _: stored) == {}
