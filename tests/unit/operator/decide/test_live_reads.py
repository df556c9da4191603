"""Irreversible transitions are decided on live reads only: what the watch reported may be old."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.decide.decision import Decision, LiveChildren, PodRefusals
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.decide.fine_tune_job.state_machine import IRREVERSIBLE, TABLE, JobState
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import ContainerEnd, JobView, ObservedJob, PodView
from tuneloop_operator.state.runs import Run

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SETTINGS = OperatorSettings(default_claim="models", local=True)
RESULT = {"path": "/prepare.json", "sha256": "a" * 64}
PREPARED = {"name": "r-prepare", "uid": "1", "ended": True, "result": RESULT}
TRAIN = {
    Run.PENDING: {"name": "r-a1"},
    Run.CREATED: {"name": "r-a1", "uid": "2"},
    Run.ENDED: {"name": "r-a1", "uid": "2", "ended": True},
    Run.DONE: {"name": "r-a1", "uid": "2", "ended": True},
}
FAILED = {
    "type": "Failed",
    "status": "True",
    "reason": "Data",
    "message": "",
    "lastTransitionTime": "2026-01-01T12:00:00Z",
}


def fine_tune_job(run: Run, *, suspend: bool, **spec: Any) -> FineTuneJob:
    status: dict[str, Any] = {
        "startTime": "2026-01-01T11:00:00Z",
        "attempt": 1,
        "resolved": {"storageClaim": "models"},
        "children": {"prepare": PREPARED, "train": TRAIN[run]},
    }
    if run is Run.DONE:
        status |= {"conditions": [FAILED], "completionTime": "2026-01-01T12:00:00Z"}
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "r", "namespace": "n", "uid": "0123456789"},
        "spec": {
            "model": {"uri": "hf://a/b"},
            "task": "text-classification",
            "data": {"train": [{"uri": "pvc://models/x.csv"}]},
            "suspend": suspend,
            **spec,
        },
        "status": status,
    }
    return FineTuneJob.from_wire(manifest)


def job_view(state: JobState) -> JobView:
    outcome: Any = {JobState.FAILED: "Failed", JobState.FAILING: "Failed", JobState.SUCCEEDED: "Succeeded"}.get(state)
    return JobView(
        name="r-a1",
        uid="2",
        stage="train",
        attempt=1,
        created=NOW,
        deleting=state is JobState.TERMINATING,
        outcome=outcome,
        outcome_since=NOW if outcome else None,
    )


def pod_view(state: JobState) -> PodView:
    end = ContainerEnd(exit_code=75, finished=NOW) if state is JobState.FAILED else None
    phase = "Failed" if end else "Running"
    return PodView(name="r-a1-0", uid="3", stage="train", attempt=1, owner="2", created=NOW, phase=phase, ended=end)


def observed(run: Run, state: JobState, *, suspend: bool, live: bool) -> ObservedJob:
    return ObservedJob(
        job=fine_tune_job(run, suspend=suspend),
        manifest={},
        jobs=() if state is JobState.ABSENT else (job_view(state),),
        pods=() if state is JobState.ABSENT else (pod_view(state),),
        present={("Service", "r-train"): {}},
        live=live,
    )


CASES = [
    pytest.param(run, state, suspend, id=f"{run}, {state}{', suspended' if suspend else ''}")
    for (run, state), row in TABLE.items()
    for suspend, transition in zip((False, True), row, strict=True)
    if transition in IRREVERSIBLE and not (run is Run.ENDED and state is not JobState.ACTIVE)
]
"""The gang's Job of an ended run counts as absent once it is over."""


@pytest.mark.parametrize(("run", "state", "suspend"), CASES)
def test_an_irreversible_transition_needs_live_children_first(run: Run, state: JobState, suspend: bool) -> None:
    reported = observed(run, state, suspend=suspend, live=False)
    assert decide(reported, now=NOW, settings=SETTINGS) == Decision(needs=LiveChildren())
    decision = decide(replace(reported, live=True), now=NOW, settings=SETTINGS)
    assert decision.needs is None
    assert decision.status is not None or decision.delete


@pytest.mark.parametrize("suspend", [False, True])
@pytest.mark.parametrize(("run", "state"), TABLE)
def test_on_what_the_watch_reported_no_run_ends_and_nothing_is_deleted(
    run: Run, state: JobState, suspend: bool
) -> None:
    """Whatever the state machine calls irreversible. A job without restarts: a further attempt needs a live read of its own."""
    job = fine_tune_job(run, suspend=suspend, failurePolicy={"maxRestarts": 0, "maxDisruptions": 0})
    reported = replace(observed(run, state, suspend=suspend, live=False), job=job)
    decision = decide(reported, now=NOW, settings=SETTINGS)
    assert decision.delete == ()
    before = reported.job.status.to_wire() if reported.job.status else {}
    after = before if decision.status is None else decision.status
    assert ends_in(after) == ends_in(before)


def ends_in(status: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a status says of ends."""
    runs = [(stage, child.get("ended", False)) for stage, child in status["children"].items()]
    return sorted(runs), status.get("restarts"), status.get("failure"), status.get("completionTime")


@pytest.mark.parametrize(
    ("refusal", "needs"),
    [
        pytest.param(None, PodRefusals(job_uids=("2",)), id="not read"),
        pytest.param("", None, id="nothing was refused"),
        pytest.param("exceeded quota", None, id="a pod was refused"),
    ],
)
def test_the_live_view_of_a_job_without_all_its_pods_needs_their_refusals(
    refusal: str | None, needs: PodRefusals | None
) -> None:
    found = observed(Run.CREATED, JobState.ACTIVE, suspend=False, live=True)
    short = replace(found.jobs[0], missing_pods=1, refusal=refusal)
    assert decide(replace(found, jobs=(short,)), now=NOW, settings=SETTINGS).needs == needs
