"""What each transition tells and writes: events, entries of the stages, the end of a job, deletions and waits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from observed_jobs import (
    NOW,
    PREPARED,
    RESULT,
    SETTINGS,
    STAMP,
    TRAINING,
    a_job,
    ended,
    gang_job,
    observed,
    pod_of,
    seconds,
    stage_job,
    succeeded_pod,
)
from stage_messages import failure

from tuneloop_api.v1alpha1.fine_tune_job.status_results import EvaluationStatus, MetricValue
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.decision import Decision, Deletion, LiveChildren
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.decide.fine_tune_job.success import _calibration

ENDED = TRAINING | {"children": PREPARED | {"train": {"name": "r-a1", "uid": "u-a1", "ended": True}}}
TRAINED = PREPARED | {"train": {"name": "r-a1", "uid": "u-a1", "ended": True, "result": RESULT}}
PREPARING = {"startTime": STAMP, "resolved": {"storageClaim": "models"}, "children": {"prepare": {"name": "r-prepare", "uid": "u-prepare"}}}  # fmt: skip
EXPORTING = TRAINING | {"children": TRAINED | {"export": {"name": "r-export", "uid": "u-export"}}}
COUNTERS = {"total": 2, "failure": 2, "disruption": 0, "withoutProgress": 2, "sinceCheckpoint": 2}
GANG = gang_job()
RUNNING = tuple(pod_of(GANG, index, started=NOW) for index in (0, 1))


def decided(status: dict[str, Any] | None = None, *, after: float = 0.0, spec: dict[str, Any] | None = None, **observation: Any) -> Decision:  # fmt: skip
    found = observed(a_job(status, **(spec or {})), **observation)
    return decide(found, now=NOW + seconds(after), settings=SETTINGS)


def texts_of(decision: Decision) -> list[tuple[str, str, str]]:
    return [(event.type, event.reason, event.message) for event in decision.events]


def new(decision: Decision) -> dict[str, Any]:
    assert decision.status is not None
    return decision.status


def succeeded(stage: str) -> dict[str, Any]:
    job = GANG if stage == "train" else stage_job(stage)
    job = gang_job(outcome="Succeeded", outcome_since=NOW) if stage == "train" else stage_job(stage, outcome="Succeeded", outcome_since=NOW)  # fmt: skip
    return {"jobs": (job,), "pods": (succeeded_pod(job),)}


def test_the_first_stage_is_started() -> None:
    decision = decided()
    assert texts_of(decision) == [("Normal", "Started", "prepare: Job r-prepare")]
    assert new(decision)["children"] == {"prepare": {"name": "r-prepare"}}
    assert (new(decision)["startTime"], new(decision)["phase"]) == (STAMP, "Preparing")


def test_another_attempt_is_started_and_a_stage_that_follows_says_no_more() -> None:
    assert texts_of(decided(ENDED, live=True)) == [("Normal", "Started", "train: Job r-a2")]
    decision = decided(PREPARING, **succeeded("prepare"))
    assert texts_of(decision) == [("Normal", "PrepareSucceeded", "prepare has succeeded")]
    assert new(decision)["children"]["train"] == {"name": "r-a1"}


@pytest.mark.parametrize(("stage", "before"), [("prepare", PREPARING), ("train", TRAINING), ("export", EXPORTING)])
def test_a_stage_that_has_succeeded_is_kept_with_its_result(stage: str, before: dict[str, Any]) -> None:
    decision = decided(before | {"restarts": COUNTERS}, **succeeded(stage))
    name = "r-a1" if stage == "train" else f"r-{stage}"
    uid = name.replace("r-", "u-")
    result = {"path": f"/tuneloop/claims/models/{stage}.json", "sha256": "a" * 64}
    assert new(decision)["children"][stage] == {"name": name, "uid": uid, "ended": True, "result": result}
    assert texts_of(decision) == [("Normal", f"{stage.capitalize()}Succeeded", f"{stage} has succeeded")]
    assert new(decision)["restarts"] == COUNTERS | {"withoutProgress": 0, "sinceCheckpoint": 0}


def test_data_that_is_prepared_again_is_no_progress() -> None:
    before = PREPARING | {"attempt": 1, "restarts": COUNTERS, "lineage": {"dataDigest": "d1"}}
    assert new(decided(before, **succeeded("prepare")))["restarts"] == COUNTERS


@pytest.mark.parametrize(
    ("before", "spec", "stage", "reason", "message"),
    [
        (EXPORTING, {}, "export", "Published", "the artifact is at pvc://models/jobs/artifact"),
        (PREPARING, {"preflight": {"dryRun": True}}, "prepare", "DryRun", "checked and planned; preflight.dryRun ends here"),
    ],
)  # fmt: skip
def test_the_good_end_of_a_job(
    before: dict[str, Any], spec: dict[str, Any], stage: str, reason: str, message: str
) -> None:
    decision = decided(before, spec=spec, **succeeded(stage))
    (complete,) = [found for found in new(decision)["conditions"] if found["type"] == "Complete"]
    assert (complete["status"], complete["reason"], complete["message"]) == ("True", reason, message)
    assert (new(decision)["phase"], new(decision)["completionTime"]) == ("Succeeded", STAMP)
    assert decision.create == ()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"accuracy": 0.9}, ""),
        (
            {"log_loss": 0.264, "log_loss_calibrated": 0.264},
            "; its temperature is 1: a fitted one was not shown to help",
        ),
        (
            {"log_loss": 0.264, "log_loss_calibrated": 0.25},
            "; its fitted temperature changes the log loss of the test rows from 0.2640 to 0.2500",
        ),
    ],
)
def test_the_end_says_whether_a_temperature_was_fitted(values: dict[str, float], expected: str) -> None:
    evaluation = EvaluationStatus(
        metrics=[MetricValue(name=name, split="test", value=value) for name, value in values.items()]
    )
    assert _calibration(evaluation) == expected
    assert _calibration(None) == ""


def test_data_that_has_changed_is_the_end() -> None:
    before = PREPARING | {"attempt": 1, "lineage": {"dataDigest": "d0"}}
    decision = decided(before, live=True, **succeeded("prepare"))
    message = "the sources have changed since training began: their prepared data is d1, it was d0"
    assert texts_of(decision) == [("Warning", "Failed", f"Data in prepare: {message}")]
    assert new(decision)["failure"] == {
        "class": "Data",
        "stage": "prepare",
        "message": message,
        "hint": "Put the files back as they were, or create the job under another name to train on the new ones.",
        "retryable": False,
    }


def test_a_status_cannot_steer_a_terminal_whatever_a_pod_says() -> None:
    job = gang_job(outcome="Failed", outcome_since=NOW)
    text = json.dumps(json.loads(failure(FailureClass.DATA, stage="train")) | {"message": "row \x1b[2J\r\u202e"})
    pods = tuple(pod_of(job, index, phase="Failed", ended=ended(1, text=text)) for index in (0, 1))
    decision = decided(TRAINING, jobs=(job,), pods=pods, live=True, after=1)
    assert new(decision)["failure"]["message"] == r"row \x1b[2J\x0d\u202e"
    assert all(ord(letter) >= 32 for letter in json.dumps(new(decision), ensure_ascii=False))
    assert decided(new(decision), jobs=(job,), pods=pods, live=True, after=1).status is None


@pytest.mark.parametrize(("kind", "reason"), [(FailureClass.DATA, "Failed"), (FailureClass.HANG, "Restarting")])
def test_a_failure_is_reported_with_its_class_stage_and_message(kind: FailureClass, reason: str) -> None:
    job = gang_job(outcome="Failed", outcome_since=NOW)
    pods = tuple(pod_of(job, index, phase="Failed", ended=ended(1, text=failure(kind, stage="train", index=index))) for index in (0, 1))  # fmt: skip
    decision = decided(TRAINING, jobs=(job,), pods=pods, live=True, after=1)
    words = f"{kind} in train: a {kind} failure of train"
    assert texts_of(decision)[0] == ("Warning", reason, words)
    (record,) = new(decision)["history"]
    assert record == {
        "attempt": 1,
        "started": STAMP,
        "ended": "2026-01-01T12:00:01Z",
        "class": kind.value,
        "reason": "Failed",
        "node": "node-0",
        "nodes": 2,
    }


def test_a_suspended_job_frees_its_nodes() -> None:
    decision = decided(TRAINING, spec={"suspend": True}, jobs=(GANG,), pods=RUNNING, live=True)
    assert texts_of(decision) == [("Normal", "Suspended", "the job is suspended; its checkpoints stay")]
    assert decision.delete == (Deletion(kind="Job", name="r-a1", uid="u-a1"),)
    assert new(decision)["history"][-1]["reason"] == "Suspended"
    assert "restarts" not in new(decision)


STUCK = tuple(pod_of(GANG, index, phase="Pending", node=None, unschedulable="none left") for index in (0, 1))
AVOIDING = TRAINING | {"avoidedNodes": [{"name": name, "reason": "NodeLost"} for name in ("n1", "n2")]}
SMALLER = {"scheduling": {"minNodes": 1}}


@pytest.mark.parametrize(
    ("before", "spec", "at", "reason", "message"),
    [
        (AVOIDING, {}, 60.0, "NodesReadmitted", "there are not enough nodes without n1, n2"),
        (TRAINING, SMALLER, 900.0, "Shrunk", "2 nodes cannot be had; 1 will do"),
        (TRAINING, {"scheduling": {"minNodes": 1, "shrinkAfter": "2m"}}, 120.0, "Shrunk", "2 nodes cannot be had; 1 will do"),
    ],
)  # fmt: skip
def test_a_gang_without_nodes_is_planned_again_when_it_has_waited_long_enough(
    before: dict[str, Any], spec: dict[str, Any], at: float, reason: str, message: str
) -> None:
    gang: dict[str, Any] = {"jobs": (GANG,), "pods": STUCK, "spec": spec, "present": children()}
    early = decided(before, after=at - 0.5, live=True, **gang)
    assert (texts_of(early), early.requeue_after) == ([], 0.5)
    assert decided(before, after=at, **gang) == Decision(needs=LiveChildren())
    decision = decided(before, after=at, live=True, **gang)
    assert texts_of(decision) == [("Warning", "Replanned", message)]
    assert new(decision)["history"][-1]["reason"] == reason
    assert new(decision).get("nodes") == (1 if reason == "Shrunk" else None)
    assert new(decision).get("avoidedNodes") == ([] if reason == "NodesReadmitted" else None)
    assert decision.delete == (Deletion(kind="Job", name="r-a1", uid="u-a1"),)


def children() -> dict[Any, Any]:
    """Return the Service and the NetworkPolicy of the gang."""
    applied = decided(TRAINING, jobs=(GANG,), pods=RUNNING, live=True).apply
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in applied}


@pytest.mark.parametrize(
    ("job", "pods", "wait"),
    [
        (gang_job(deleting=True), RUNNING, 30.0),
        (gang_job(outcome="Failed", outcome_since=NOW), RUNNING, 88.0),
        (gang_job(outcome="Failed", outcome_since=NOW), tuple(pod_of(GANG, index, phase="Pending") for index in (0, 1)), 3.0),
    ],
)  # fmt: skip
def test_a_gang_that_ends_is_waited_for(job: Any, pods: tuple[Any, ...], wait: float) -> None:
    assert decided(TRAINING, jobs=(job,), pods=pods, after=2).requeue_after == wait


FINISHED = TRAINING | {
    "completionTime": STAMP,
    "conditions": [{"type": "Failed", "status": "True", "reason": "Data", "message": "", "lastTransitionTime": STAMP}],
}
TTL = {"ttlSecondsAfterFinished": 100}


def test_a_finished_job_is_deleted_after_its_time_to_live() -> None:
    itself = Deletion(kind="FineTuneJob", name="r", uid="u-r")
    assert decided(FINISHED, spec=TTL, after=99.5).requeue_after == 0.5
    assert decided(FINISHED, spec=TTL, after=99.5).delete == ()
    assert decided(FINISHED, spec=TTL, after=100) == Decision(needs=LiveChildren())
    assert decided(FINISHED, spec=TTL, after=100, live=True).delete == (itself,)
    kept = decided(FINISHED, after=10**9, live=True)
    assert (kept.delete, kept.requeue_after) == ((), None)
