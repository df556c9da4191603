"""The FineTuneJob of a run, and the recipe by which two runs are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from operator_harness import SPEC

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_operator.desired.model_deployment.retraining_job import RunOrder, recipe_of, retraining_job

ORDER = RunOrder(
    name="api-1",
    trigger="weekly",
    champion_revision="7d1f0b2c",
    champion_uri="pvc://models/champion",
    cutoff="2026-01-01T00:00:00Z",
)


def deployment(**retraining: Any) -> ModelDeployment:
    spec = {
        "model": {"uri": "pvc://models/a"},
        "rollout": {},
        "retraining": {"enabled": True, "jobTemplateRef": {"name": "t"}} | retraining,
    }
    metadata = {"name": "api", "namespace": "team-a", "uid": "u1"}
    return ModelDeployment.from_wire({"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec})  # fmt: skip


def template(**spec: Any) -> FineTuneJob:
    metadata = {"name": "t", "namespace": "team-a", "uid": "u2"}
    return FineTuneJob.from_wire({"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata, "spec": SPEC | spec})  # fmt: skip


def test_a_run_belongs_to_its_deployment_and_works_although_its_template_rests() -> None:
    given = template(suspend=True, preflight={"dryRun": True, "rehearsal": False})
    job = retraining_job(deployment(), given, ORDER)
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("ModelDeployment", "u1", True)
    assert job["metadata"]["labels"] == {"tuneloop.dev/retraining": "api"}
    assert "suspend" not in job["spec"]
    assert job["spec"]["preflight"] == {"rehearsal": False}
    FineTuneJob.from_wire(job | {"metadata": job["metadata"] | {"uid": "u3"}})


@pytest.mark.parametrize(("digest", "champion"), [(None, "pvc://models/champion"), ("sha256:ab", "sha256:ab")])
def test_a_job_keeps_what_its_run_comes_from(digest: str | None, champion: str) -> None:
    job = retraining_job(deployment(), template(), replace(ORDER, champion_digest=digest))
    assert job["metadata"]["annotations"] == {
        "tuneloop.dev/retraining-trigger": "weekly",
        "tuneloop.dev/feedback-cutoff": "2026-01-01T00:00:00Z",
        "tuneloop.dev/champion-revision": "7d1f0b2c",
        "tuneloop.dev/champion-digest": champion,
    }


@pytest.mark.parametrize(
    ("given", "left", "hours"),
    [(None, None, None), (None, 3.0, 3.0), (2.0, 3.0, 2.0), (5.0, 3.0, 3.0), (5.0, None, 5.0)],
)
def test_a_run_may_use_the_lesser_of_its_own_budget_and_what_is_left(
    given: float | None, left: float | None, hours: float | None
) -> None:
    made = template(budget={"maxGpuHours": given}) if given else template()
    order = replace(ORDER, gpu_hours=left)
    assert retraining_job(deployment(), made, order)["spec"].get("budget", {}).get("maxGpuHours") == hours


def test_a_run_compares_its_model_with_the_champion_as_the_template_says() -> None:
    given = template(
        evaluation={"compareWith": {"uri": "pvc://models/old", "digest": f"sha256:{64 * 'a'}", "margin": 0.01}}
    )
    job = retraining_job(deployment(), given, ORDER)
    assert job["spec"]["evaluation"]["compareWith"] == {"uri": "pvc://models/champion", "margin": 0.01}
    known = replace(ORDER, champion_digest=f"sha256:{64 * 'b'}")
    job = retraining_job(deployment(), template(), known)
    assert job["spec"]["evaluation"]["compareWith"]["digest"] == known.champion_digest


def test_feedback_counts_up_to_the_moment_of_the_decision_whether_the_template_or_the_deployment_names_it() -> None:
    films = {"uri": "feedback://films", "cutoff": "2025-01-01T00:00:00Z"}
    given = template(data={"train": [films], "test": [films]})
    added = [{"uri": "pvc://models/new"}, {"uri": "feedback://api"}]
    data = retraining_job(deployment(data=added), given, ORDER)["spec"]["data"]
    assert data["train"] == [
        films | {"cutoff": ORDER.cutoff},
        {"uri": "pvc://models/new"},
        {"uri": "feedback://api", "cutoff": ORDER.cutoff},
    ]
    assert data["test"] == [films | {"cutoff": ORDER.cutoff}]


def test_recent_feedback_counts_up_to_the_same_moment() -> None:
    recent = [{"uri": "feedback://api", "window": "14d"}, {"uri": "pvc://models/week.csv"}]
    given = template(evaluation={"compareWith": {"uri": "pvc://models/old", "recent": recent}})
    spec = retraining_job(deployment(data=[{"uri": "feedback://api"}]), given, ORDER)["spec"]
    assert spec["evaluation"]["compareWith"]["recent"] == [recent[0] | {"cutoff": ORDER.cutoff}, recent[1]]
    assert spec["data"]["train"][-1]["cutoff"] == ORDER.cutoff
    later = replace(ORDER, cutoff="2026-02-01T00:00:00Z")
    FineTuneJob.from_wire(retraining_job(deployment(), given, later) | {"metadata": {"name": "a", "namespace": "b"}})


def test_two_runs_have_two_seeds() -> None:
    seeds = {
        retraining_job(deployment(), template(), replace(ORDER, name=name))["spec"]["training"]["seed"]
        for name in ("api-1", "api-2")
    }
    assert len(seeds) == 2
    assert all(0 <= seed < 2**31 for seed in seeds)


RECIPES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"training": {"seed": 7}}, {}, True),
    ({"budget": {"maxGpuHours": 1}}, {}, True),
    ({"suspend": True}, {}, True),
    ({"evaluation": {"compareWith": {"uri": "pvc://models/old"}}}, {}, True),
    ({"evaluation": {"compareWith": {"uri": "pvc://models/old", "margin": 0.01}}}, {}, False),
    (
        {"evaluation": {"compareWith": {"uri": "pvc://models/old", "recent": [{"uri": "feedback://api"}]}}},
        {},
        False,
    ),
    ({"ttlSecondsAfterFinished": 5}, {}, True),
    ({"training": {"epochs": 1}}, {}, False),
    ({"method": {"type": "full"}}, {}, False),
    ({}, {"startFrom": "champion"}, False),
    ({}, {"data": [{"uri": "pvc://models/new"}]}, False),
    ({}, {"cooldown": "6h"}, True),
]


@pytest.mark.parametrize(("spec", "retraining", "is_same"), RECIPES)
def test_a_recipe_is_what_the_result_depends_on(
    spec: dict[str, Any], retraining: dict[str, Any], is_same: bool
) -> None:
    assert (recipe_of(deployment(**retraining), template(**spec)) == recipe_of(deployment(), template())) == is_same


def test_a_run_starts_from_the_champion_where_that_is_wanted() -> None:
    given = template(model={"uri": "hf://org/base", "revision": "main", "labels": ["a", "b"]})
    job = retraining_job(deployment(startFrom="champion"), given, ORDER)
    assert job["spec"]["model"] == {"uri": "pvc://models/champion/model", "labels": ["a", "b"]}
    assert retraining_job(deployment(), given, ORDER)["spec"]["model"]["uri"] == "hf://org/base"
