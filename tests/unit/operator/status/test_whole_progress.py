"""The whole progress that a message leaves in the status, and what a message that says less leaves as it was."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.status.fine_tune_job.progress import with_checkpoint, with_progress, with_save_seconds

SENT = "2026-01-01T12:00:00Z"
SAVED = {"step": 40, "path": "/step-40", "time": SENT, "metric": "loss", "value": 0.5}
WHOLE: dict[str, Any] = {
    "stage": "train",
    "attempt": 1,
    "sequence": 1,
    "sentAt": SENT,
    "step": 50,
    "startStep": 10,
    "totalSteps": 100,
    "epoch": 1.5,
    "loss": 0.123456789,
    "evaluation": {"name": "accuracy", "value": 0.75},
    "tokensPerSecond": 1000.5,
    "stepSeconds": 0.12345,
    "etaSeconds": 3600,
    "latest": SAVED,
    "best": SAVED,
    "saveSecondsP95": 1.23456,
}
SHOWN: dict[str, Any] = {
    "percent": "50%",
    "stage": "train",
    "step": 50,
    "startStep": 10,
    "totalSteps": 100,
    "epoch": 1.5,
    "loss": 0.123457,
    "evaluation": {"name": "accuracy", "value": 0.75},
    "tokensPerSecond": 1000.5,
    "stepSeconds": 0.123,
    "eta": "1h0m",
    "etaSeconds": 3600,
    "lastHeartbeat": SENT,
}


def after(*messages: dict[str, Any], stage: Any = "train", **before: Any) -> dict[str, Any]:
    """Return the status after these messages."""
    status = FineTuneJobStatus.from_wire({"attempt": 1} | before)
    for message in messages:
        status = with_progress(status, ProgressMessage.from_wire(message), stage=stage)
    return status.to_wire()


def test_a_message_that_says_everything() -> None:
    assert after(WHOLE) == {
        "attempt": 1,
        "progress": SHOWN,
        "firstStepTime": SENT,
        "checkpoint": {"latest": SAVED, "best": SAVED, "saveSecondsP95": 1.235},
    }


def test_a_message_that_says_nothing_leaves_what_was_known_but_no_speed_and_no_time_left() -> None:
    later = "2026-01-01T13:00:00Z"
    whole = after(WHOLE)
    silent = {"stage": "train", "attempt": 1, "sequence": 2, "sentAt": later}
    kept = {name: value for name, value in SHOWN.items() if name not in {"tokensPerSecond", "stepSeconds", "eta", "etaSeconds"}}  # fmt: skip
    expected = whole | {"progress": kept | {"percent": "5%", "lastHeartbeat": later}}
    assert after(WHOLE, silent) == expected


@pytest.mark.parametrize(
    ("stage", "fields", "percent"),
    [
        ("train", {"step": 50, "totalSteps": 100}, "50%"),
        ("train", {"step": 0, "totalSteps": 100, "fraction": 0.5}, "5%"),
        ("train", {"step": 50, "fraction": 0.5}, "50%"),
        ("train", {"totalSteps": 100, "fraction": 0.5}, "50%"),
        ("train", {}, "5%"),
        ("prepare", {"fraction": 0.4}, "2%"),
        ("prepare", {"fraction": 0.5}, "2%"),
        ("export", {}, "95%"),
        ("export", {"fraction": 0.5}, "97%"),
        ("export", {"fraction": -1.0}, "95%"),
    ],
)
def test_the_percent_is_that_of_the_steps_or_else_of_the_fraction(
    stage: str, fields: dict[str, Any], percent: str
) -> None:
    message = {"stage": stage, "attempt": 1 if stage == "train" else 0, "sequence": 1, "sentAt": SENT}
    assert after(message | fields, stage=stage)["progress"]["percent"] == percent


@pytest.mark.parametrize(
    ("fields", "stepped"),
    [
        ({}, False),
        ({"step": 0}, False),
        ({"step": 1}, True),
        ({"step": 10, "startStep": 10}, False),
        ({"step": 11, "startStep": 10}, True),
        ({"startStep": 10}, False),
    ],
)
def test_the_time_of_the_first_step_is_that_of_the_first_message_with_a_step(
    fields: dict[str, Any], stepped: bool
) -> None:
    message = {"stage": "train", "attempt": 1, "sequence": 1, "sentAt": SENT} | fields
    assert after(message).get("firstStepTime") == (SENT if stepped else None)
    assert after(message, firstStepTime="2025-01-01T00:00:00Z")["firstStepTime"] == "2025-01-01T00:00:00Z"


def test_no_message_changes_nothing() -> None:
    status = FineTuneJobStatus(attempt=1)
    assert with_progress(status, None, stage="train") is status
    assert with_save_seconds(status, None) is status
    assert with_checkpoint(status, latest=None, best=None) is status


def test_a_best_checkpoint_alone_leaves_the_latest_one_and_the_counters() -> None:
    before: dict[str, Any] = {
        "checkpoint": {"latest": SAVED, "saveSecondsP95": 1.0},
        "restarts": {"total": 1, "failure": 1, "disruption": 0, "withoutProgress": 1, "sinceCheckpoint": 1},
        "resumeBefore": 40,
    }
    message = {"stage": "train", "attempt": 1, "sequence": 1, "sentAt": SENT, "best": SAVED | {"step": 30}}
    status = after(message, **before)
    assert status["checkpoint"] == {"latest": SAVED, "best": SAVED | {"step": 30}, "saveSecondsP95": 1.0}
    assert (status["restarts"], status["resumeBefore"]) == (before["restarts"], 40)


def test_a_newer_checkpoint_ends_the_way_back() -> None:
    message = {"stage": "train", "attempt": 1, "sequence": 1, "sentAt": SENT, "latest": SAVED}
    assert "resumeBefore" not in after(message, resumeBefore=30)
    assert "restarts" not in after(message)
    older = {"checkpoint": {"latest": SAVED | {"step": 41}}, "resumeBefore": 30}
    assert after(message, **older)["resumeBefore"] == 30
    first = after(message | {"latest": SAVED | {"step": 0}}, resumeBefore=30)
    assert (first["checkpoint"]["latest"]["step"], "resumeBefore" in first) == (0, False)
