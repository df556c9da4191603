"""What may be wrong with a training that runs stands in its conditions, and goes when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.contract.results import Finding
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.v1alpha1.common import Condition, Conditions
from tuneloop_api.v1alpha1.fine_tune_job.status import Child, Children, FineTuneJobStatus, Progress
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


def running(*, heard: datetime = NOW, since: datetime = NOW - timedelta(hours=1)) -> FineTuneJobStatus:
    children = Children.from_wire(
        {"prepare": {"name": "p", "uid": "1", "ended": True, "result": {"path": "r", "sha256": "a"}}}
    )
    train = Child(name="reviews-a1", uid="2")
    return FineTuneJobStatus(
        attempt=1,
        start_time=stamp(since),
        running_since=stamp(since),
        children=children.model_copy(update={"train": train}),
        progress=Progress(last_heartbeat=stamp(heard)),
    )


def said(status: FineTuneJobStatus, before: Conditions | None = None, *, attempt: int = 1, **fields: Any) -> Conditions:
    message = ProgressMessage(stage="train", attempt=attempt, sequence=1, sent_at=stamp(NOW), **fields)
    observed = ObservedJob(job=FineTuneJob.from_wire(MANIFEST), manifest=MANIFEST, present={}, progress=message)
    return with_health(observed, status, before or [], now=NOW)


def found(conditions: Conditions, type_: str) -> Condition:
    one = condition(conditions, type_)
    assert one is not None, f"{type_} is not among {conditions}"
    return one


def test_a_healthy_training_has_no_condition_of_its_own() -> None:
    assert said(running(), save_seconds_p95=2.0, findings=[]) == []


def test_a_save_that_failed_is_told_until_one_succeeds() -> None:
    failed = said(running(), save_error="no space left")
    one = found(failed, "CheckpointFresh")
    assert (one.status, one.reason, one.message) == ("False", "SaveFailed", "no space left")
    assert found(said(running(), failed), "CheckpointFresh").status == "True"


@pytest.mark.parametrize(("seconds", "warned"), [(49.0, False), (51.0, True)])
def test_a_grace_period_shorter_than_a_save_is_warned_of(seconds: float, warned: bool) -> None:
    told = said(running(), save_seconds_p95=seconds)
    assert (condition(told, "GracePeriodTooShort") is not None) == warned
    assert said(running(), told, save_seconds_p95=1.0) == []


def test_what_the_curves_tell_is_said_with_its_advice_and_taken_back() -> None:
    told = said(running(), findings=[OVER_FITTING])
    one = found(told, "TrainingHealthy")
    assert (one.status, one.reason) == ("False", "OverFitting")
    assert one.message == "the loss on validation rises. Train fewer epochs"
    assert found(said(running(), told), "TrainingHealthy").status == "False", "no news changes nothing"
    assert found(said(running(), told, findings=[]), "TrainingHealthy").status == "True"


def test_a_message_of_an_older_attempt_tells_nothing() -> None:
    assert said(running(), attempt=2, save_error="no space left") == []


@pytest.mark.parametrize(("silent", "stale"), [(STALE_SECONDS - 1, False), (STALE_SECONDS + 1, True)])
def test_a_training_that_is_silent_for_long_is_said_to_be(silent: float, stale: bool) -> None:
    status = running(heard=NOW - timedelta(seconds=silent))
    assert (condition(said(status), "ProgressStale") is not None) == stale
    assert (stale_in(status, now=NOW) is None) == stale


def test_silence_is_counted_from_the_start_of_the_pods() -> None:
    status = running(heard=NOW - timedelta(hours=1), since=NOW - timedelta(seconds=30))
    assert said(status) == []
