"""Every counter, limit and sentence of a restart, and what the next attempt does differently."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, TRAINING, a_job, gang_job, observed

from tuneloop_api.v1alpha1.fine_tune_job.failure_policy import FailurePolicy
from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, FineTuneJobStatus, Restarts
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.failure import failed, retry_changes
from tuneloop_operator.decide.fine_tune_job.restart import ACTION_OF_CLASS, Action, halved, restart_decision

STAMP = "2026-01-01T12:00:00Z"
ZERO = {"total": 0, "failure": 0, "disruption": 0, "withoutProgress": 0, "sinceCheckpoint": 0}


def decided(kind: str, policy: dict[str, Any] | None = None, *, step: int | None = None, **counters: Any) -> Any:
    return restart_decision(
        Failure(failure_class=kind, step=step),
        restarts=Restarts.from_wire(ZERO | counters),
        policy=FailurePolicy.from_wire(policy) if policy is not None else None,
        now=STAMP,
    )


ONE = {"total": 3, "failure": 3, "disruption": 2, "withoutProgress": 2, "sinceCheckpoint": 3}
TWO = {"total": 2, "failure": 2, "disruption": 2, "withoutProgress": 1, "sinceCheckpoint": 2}


@pytest.mark.parametrize(
    ("kind", "action", "counters"),
    [
        ("Hang", Action.RESTART, ONE),
        ("Evicted", Action.RESTART_FREE, TWO | {"total": 3, "disruption": 3, "sinceCheckpoint": 3}),
        ("OutOfMemoryGpu", Action.REDUCE_MICRO_BATCH, ONE | {"reduced": 1}),
        ("NonFiniteLoss", Action.REPLAY, TWO | {"total": 3, "sinceCheckpoint": 3, "nonFiniteStep": 7}),
        ("PreparedDataLost", Action.PREPARE_AGAIN, ONE),
    ],
)
def test_each_action_counts_in_its_own_way(kind: str, action: Action, counters: dict[str, Any]) -> None:
    decision = decided(kind, {}, step=7, **TWO)
    assert decision.action is action
    assert decision.restarts.to_wire() == counters | {"lastReason": kind, "lastTime": STAMP}


def test_what_is_counted_already_is_counted_on() -> None:
    assert decided("OutOfMemoryGpu", reduced=1).restarts.reduced == 2
    assert decided("NonFiniteLoss").restarts.non_finite_step == 0
    assert decided("NonFiniteLoss", step=8, nonFiniteStep=7).restarts.non_finite_step == 8


@pytest.mark.parametrize(
    ("kind", "policy", "counters", "sentence"),
    [
        ("Evicted", None, {"disruption": 99}, ""),
        ("Evicted", None, {"disruption": 100}, "disrupted more than 100 times (failurePolicy.maxDisruptions)"),
        ("Evicted", {"maxDisruptions": 0}, {}, "disrupted more than 0 times (failurePolicy.maxDisruptions)"),
        ("NonFiniteLoss", None, {"nonFiniteStep": 6}, ""),
        ("NonFiniteLoss", None, {"nonFiniteStep": 7}, "it came again after training went one checkpoint back"),
        ("NonFiniteLoss", None, {"withoutProgress": 99, "failure": 99}, ""),
        ("OutOfMemoryGpu", None, {"reduced": 1}, ""),
        ("OutOfMemoryGpu", None, {"reduced": 2}, "the micro-batch was halved 2 times already"),
        ("OutOfMemoryGpu", None, {"withoutProgress": 3}, "restarted 3 times without a newer checkpoint (failurePolicy.maxRestarts)"),
        ("Hang", None, {"withoutProgress": 2, "failure": 49, "reduced": 2}, ""),
        ("Hang", None, {"failure": 50}, "restarted 50 times in all (failurePolicy.maxTotalRestarts)"),
        ("Hang", {"maxTotalRestarts": 1}, {"failure": 1}, "restarted 1 times in all (failurePolicy.maxTotalRestarts)"),
        ("Hang", {"maxRestarts": 0}, {}, "restarted 0 times without a newer checkpoint (failurePolicy.maxRestarts)"),
        ("PreparedDataLost", None, {"withoutProgress": 3}, "restarted 3 times without a newer checkpoint (failurePolicy.maxRestarts)"),
        ("Data", None, {}, ""),
    ],
)  # fmt: skip
def test_the_limit_that_is_reached_is_named(
    kind: str, policy: dict[str, Any] | None, counters: dict[str, Any], sentence: str
) -> None:
    decision = decided(kind, policy, step=7, **counters)
    assert decision.exhausted == sentence
    assert decision.restarts_run is (sentence == "" and kind != "Data")
    if not decision.restarts_run:
        assert (decision.action, decision.restarts.to_wire()) == (Action.FAIL, ZERO | counters)


def test_the_action_of_each_class() -> None:
    by_action: dict[Action, set[str]] = {}
    for kind in FailureClass:
        by_action.setdefault(ACTION_OF_CLASS[kind], set()).add(kind.value)
    assert by_action == {
        Action.RESTART: {"OutOfMemoryHost", "Collective", "Hang", "Storage", "Unknown"},
        Action.RESTART_FREE: {"Evicted", "NodeLost", "Preempted"},
        Action.REDUCE_MICRO_BATCH: {"OutOfMemoryGpu"},
        Action.REPLAY: {"NonFiniteLoss"},
        Action.PREPARE_AGAIN: {"PreparedDataLost"},
        Action.FAIL: {"UserCode", "Data", "Config", "ModelAccess", "ImagePull", "CheckpointLost", "StartDeadline", "DeadlineExceeded", "BudgetExceeded"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("micro", "whole", "half"), [(8, 32, 4), (9, 27, 3), (7, 21, 3), (3, 32, 1), (2, 32, 1), (1, 32, None), (6, 32, 2)]
)
def test_half_a_micro_batch_divides_the_global_batch(micro: int, whole: int, half: int | None) -> None:
    assert halved(micro, global_batch=whole) == half


def status(**fields: Any) -> FineTuneJobStatus:
    return FineTuneJobStatus.from_wire(TRAINING | fields)


PLANNED = {"resolved": {"storageClaim": "models", "microBatchSize": 8, "globalBatchSize": 32}}
SAVED = {"checkpoint": {"latest": {"step": 40}, "best": {"step": 30}, "saveSecondsP95": 1.0}}


def test_what_the_next_attempt_does_differently() -> None:
    reduced = {"micro_batch_size": 4, "resume": "rounding"}
    assert retry_changes(status(**PLANNED), Action.REDUCE_MICRO_BATCH) == reduced
    again = {"micro_batch_size": 2, "resume": "rounding"}
    assert retry_changes(status(**PLANNED, microBatchSize=4), Action.REDUCE_MICRO_BATCH) == again
    replayed = retry_changes(status(**SAVED), Action.REPLAY)
    assert replayed["resume_before"] == 40
    assert replayed["checkpoint"].to_wire() == {"best": {"step": 30}, "saveSecondsP95": 1.0}
    assert retry_changes(status(), Action.REPLAY) == {}
    assert retry_changes(status(checkpoint={"best": {"step": 30}}), Action.REPLAY) == {}
    prepared = retry_changes(status(), Action.PREPARE_AGAIN)
    assert prepared["children"].to_wire() == {
        "prepare": {"name": "r-prepare", "uid": "u-prepare", "ended": True},
        "train": {"name": "r-a1", "uid": "u-a1"},
    }
    assert retry_changes(FineTuneJobStatus(), Action.PREPARE_AGAIN) == {}
    assert retry_changes(FineTuneJobStatus.from_wire({"children": {}}), Action.PREPARE_AGAIN) == {}
    assert retry_changes(status(**SAVED), Action.RESTART) == {}


def after(kind: str, **fields: Any) -> dict[str, Any]:
    observed_job = observed(a_job(TRAINING | fields), jobs=(gang_job(),))
    given = Failure.from_wire({"class": kind, "stage": "train", "message": "m" * 4000})
    new, restarts = failed(observed_job, status(**fields), given, now=NOW, one_machine=False)
    assert restarts is (new.completion_time is None)
    return new.to_wire()


@pytest.mark.parametrize("fields", [{}, {"resolved": {"microBatchSize": 8}}, {"resolved": {"globalBatchSize": 8}}, PLANNED | {"microBatchSize": 1}])  # fmt: skip
def test_a_micro_batch_that_cannot_be_halved_is_the_end(fields: dict[str, Any]) -> None:
    ended = after("OutOfMemoryGpu", **fields)
    assert ended["failure"]["message"] == "m" * 3900 + " (a micro-batch is one row already)"
    assert "micro_batch_size" not in ended


def test_a_micro_batch_is_halved() -> None:
    new = after("OutOfMemoryGpu", **PLANNED)
    assert (new["microBatchSize"], new["resume"], new["failure"]["retryable"]) == (4, "rounding", True)
    assert (new["restarts"]["reduced"], new["failure"]["message"]) == (1, "m" * 4000)


def test_the_end_of_a_job_says_which_limit_was_reached() -> None:
    new = after("Hang", restarts=ZERO | {"withoutProgress": 3})
    message = "m" * 3900 + " (restarted 3 times without a newer checkpoint (failurePolicy.maxRestarts))"
    (condition,) = [found for found in new["conditions"] if found["type"] == "Failed"]
    assert (condition["status"], condition["reason"], condition["message"]) == ("True", "Hang", message)
    assert (new["failure"]["message"], new["completionTime"]) == (message, STAMP)
    assert after("Data")["failure"]["message"] == "m" * 4000
