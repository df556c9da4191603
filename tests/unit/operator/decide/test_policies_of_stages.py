"""Which NetworkPolicies a job gets in which stage: all its pods are closed, and a gang of an earlier release is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, PREPARED, TRAINING, a_job, gang_job, observed

from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.desired.fine_tune_job.network_policy import first_release_policy, job_policy
from tuneloop_operator.settings.operator import OperatorSettings

STAGES: dict[str, dict[str, Any]] = {
    "prepare": {},
    "train": TRAINING,
    "export": TRAINING | {"children": PREPARED | {"train": PREPARED["prepare"] | {"name": "r-a1"}}},
}


SETTINGS = OperatorSettings(default_claim="models")
LIMITED = SETTINGS.model_copy(update={"egress": ()})
LOCAL = SETTINGS.model_copy(update={"local": True})


def applied(stage: str, *, stored: dict[str, Any] | None = None, settings: OperatorSettings = SETTINGS) -> list[Any]:
    """Return the policies that are applied for a job in this stage. stored: its policy, as the cluster has it."""
    jobs = (gang_job(),) if stage == "train" else ()
    present: dict[Any, Any] = {("NetworkPolicy", "r-train"): stored} if stored else {}
    job = observed(a_job(STAGES[stage]), jobs=jobs, live=True, present=present)
    decision = decide(job, now=NOW, settings=settings)
    return [manifest for manifest in decision.apply if manifest["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize("stage", STAGES)
def test_the_pods_of_each_stage_are_closed(stage: str) -> None:
    wanted = job_policy(a_job(), settings=SETTINGS)
    assert applied(stage) == [wanted]
    assert applied(stage, stored=wanted) == []
    assert applied(stage, settings=LOCAL) == []


@pytest.mark.parametrize(("stage", "writes"), [("prepare", 1), ("train", 0), ("export", 1)])
def test_an_upgrade_leaves_a_gang_alone(stage: str, writes: int) -> None:
    assert len(applied(stage, stored=first_release_policy(a_job()))) == writes


def test_a_limit_of_connections_reaches_a_gang_that_runs() -> None:
    limited = job_policy(a_job(), settings=LIMITED)
    for stored in (first_release_policy(a_job()), job_policy(a_job(), settings=SETTINGS)):
        assert applied("train", stored=stored, settings=LIMITED) == [limited]
    assert applied("train", stored=limited, settings=LIMITED) == []


def test_a_limit_that_is_taken_back_is_taken_from_a_gang_that_runs() -> None:
    stored = job_policy(a_job(), settings=LIMITED)
    assert applied("train", stored=stored) == [job_policy(a_job(), settings=SETTINGS)]
