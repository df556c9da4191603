"""What follows a failure: limits and delays."""

from __future__ import annotations

import pytest

from tuneloop_api.v1alpha1.fine_tune_job.failure_policy import FailurePolicy
from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, Restarts
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.restart import RestartDecision, delay_seconds, restart_decision
from tuneloop_operator.status.fine_tune_job.progress import after_checkpoint

NOW = "2026-01-01T00:00:00Z"
HANG, LOST, DATA = FailureClass.HANG, FailureClass.NODE_LOST, FailureClass.DATA


def after(kind: FailureClass, restarts: Restarts | None = None, policy: FailurePolicy | None = None) -> RestartDecision:
    return restart_decision(Failure(failure_class=kind.value), restarts=restarts or Restarts(), policy=policy, now=NOW)


@pytest.mark.parametrize(
    ("kind", "policy", "allowed"),
    [
        pytest.param(HANG, None, 3, id="failures: 3 by default"),
        pytest.param(HANG, FailurePolicy(max_restarts=0), 0, id="none, if none is allowed"),
        pytest.param(HANG, FailurePolicy(max_restarts=9), 9, id="failures: as given"),
        pytest.param(LOST, None, 100, id="disruptions: 100 by default"),
        pytest.param(LOST, FailurePolicy(max_disruptions=2, max_restarts=0), 2, id="disruptions have their own limit"),
        pytest.param(DATA, FailurePolicy(max_restarts=9), 0, id="what would come again is not tried again"),
    ],
)
def test_restarts_without_progress_are_limited(kind: FailureClass, policy: FailurePolicy | None, allowed: int) -> None:
    restarts, count = Restarts(), 0
    while (decision := after(kind, restarts, policy)).restarts_run:
        restarts, count = decision.restarts, count + 1
    assert count == allowed
    assert decision.restarts == restarts


def test_a_newer_checkpoint_sets_the_count_back_but_not_the_total() -> None:
    policy, restarts, count = FailurePolicy(max_restarts=1, max_total_restarts=5), Restarts(), 0
    while (decision := after(HANG, restarts, policy)).restarts_run:
        restarts, count = after_checkpoint(decision.restarts), count + 1
    assert count == 5
    assert "maxTotalRestarts" in decision.exhausted


def test_the_reached_limit_is_named() -> None:
    exhausted = after(HANG, Restarts(without_progress=3)).exhausted
    assert exhausted == "restarted 3 times without a newer checkpoint (failurePolicy.maxRestarts)"


def test_failures_and_disruptions_are_counted_apart() -> None:
    restarts = after(LOST, after(HANG).restarts).restarts
    assert (restarts.total, restarts.failure, restarts.disruption) == (2, 1, 1)
    assert (restarts.without_progress, restarts.since_checkpoint) == (1, 2)
    assert (restarts.last_reason, restarts.last_time) == ("NodeLost", NOW)


@pytest.mark.parametrize(
    ("since_checkpoint", "seconds"), [(0, 0), (1, 0), (2, 10), (3, 20), (4, 40), (7, 320), (8, 600), (1000, 600)]
)
def test_the_first_restart_is_immediate_and_the_others_wait_longer_and_longer(
    since_checkpoint: int, seconds: float
) -> None:
    assert delay_seconds(since_checkpoint) == seconds
