"""Conditions of a training that runs: they appear when something is wrong, and recover when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.contract.results import Finding
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.v1alpha1.common import Condition, Conditions
from tuneloop_api.v1alpha1.fine_tune_job.status import Child, Children, FineTuneJobStatus, Progress
from tuneloop_api.wire.model import changed
from tuneloop_operator.state.conditions import condition, stamp
from tuneloop_operator.state.observed import ObservedJob
from tuneloop_operator.status.fine_tune_job.training_health import STALE_SECONDS, stale_in, with_health

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OVER_FITTING = Finding(name="OverFitting", message="the loss on validation rises", advice="Train fewer epochs")
MANIFEST = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "reviews", "namespace": "team-a", "uid": "u"},
    "spec": {
        "model": {"uri": "hf://a/b"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/a.csv"}]},
        "checkpoint": {"gracePeriod": "1m"},
    },
}


def running(*, heartbeat: datetime = NOW, since: datetime = NOW - timedelta(hours=1)) -> FineTuneJobStatus:
    children = Children.from_wire(
        {"prepare": {"name": "p", "uid": "1", "ended": True, "result": {"path": "r", "sha256": "a"}}}
    )
    train = Child(name="reviews-a1", uid="2")
    return FineTuneJobStatus(
        attempt=1,
        start_time=stamp(since),
        running_since=stamp(since),
        children=changed(children, train=train),
        progress=Progress(last_heartbeat=stamp(heartbeat)),
    )


def conditions_after(
    status: FineTuneJobStatus, before: Conditions | None = None, *, attempt: int = 1, **fields: Any
) -> Conditions:
    message = ProgressMessage(stage="train", attempt=attempt, sequence=1, sent_at=stamp(NOW), **fields)
    observed = ObservedJob(job=FineTuneJob.from_wire(MANIFEST), manifest=MANIFEST, present={}, progress=message)
    return with_health(observed, status, before or [], now=NOW)


def found(conditions: Conditions, type_: str) -> Condition:
    condition_ = condition(conditions, type_)
    assert condition_ is not None, f"{type_} is not among {conditions}"
    return condition_


def test_a_healthy_training_has_no_condition_of_its_own() -> None:
    assert conditions_after(running(), save_seconds_p95=2.0, findings=[]) == []


def test_a_failed_save_is_reported_until_one_succeeds() -> None:
    failed = conditions_after(running(), save_error="no space left")
    fresh = found(failed, "CheckpointFresh")
    assert (fresh.status, fresh.reason, fresh.message) == ("False", "SaveFailed", "no space left")
    assert found(conditions_after(running(), failed), "CheckpointFresh").status == "True"


@pytest.mark.parametrize(("seconds", "warned"), [(49.0, False), (51.0, True)])
def test_a_grace_period_shorter_than_a_save_is_warned_of(seconds: float, warned: bool) -> None:
    conditions = conditions_after(running(), save_seconds_p95=seconds)
    assert (condition(conditions, "GracePeriodTooShort") is not None) == warned
    assert conditions_after(running(), conditions, save_seconds_p95=1.0) == []


def test_a_finding_in_the_curves_is_reported_with_its_advice_until_it_is_gone() -> None:
    conditions = conditions_after(running(), findings=[OVER_FITTING])
    fresh = found(conditions, "TrainingHealthy")
    assert (fresh.status, fresh.reason) == ("False", "OverFitting")
    assert fresh.message == "the loss on validation rises. Train fewer epochs"
    assert found(conditions_after(running(), conditions), "TrainingHealthy").status == "False", (
        "no news changes nothing"
    )
    assert found(conditions_after(running(), conditions, findings=[]), "TrainingHealthy").status == "True"


def test_a_message_of_another_attempt_changes_nothing() -> None:
    assert conditions_after(running(), attempt=2, save_error="no space left") == []


@pytest.mark.parametrize(("silent", "stale"), [(STALE_SECONDS - 1, False), (STALE_SECONDS + 1, True)])
def test_a_training_without_messages_for_long_is_stale(silent: float, stale: bool) -> None:
    status = running(heartbeat=NOW - timedelta(seconds=silent))
    assert (condition(conditions_after(status), "ProgressStale") is not None) == stale
    assert (stale_in(status, now=NOW) is None) == stale


def test_silence_is_counted_from_the_start_of_the_pods() -> None:
    status = running(heartbeat=NOW - timedelta(hours=1), since=NOW - timedelta(seconds=30))
    assert conditions_after(status) == []
