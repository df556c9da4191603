"""What the loop makes of a roll-out's memory: the trial of its model, and whether another one can be rolled out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tuneloop_operator.decide.model_deployment.retraining.facts import Trial
from tuneloop_operator.decide.model_deployment.retraining.state import BlockedReason
from tuneloop_operator.decide.model_deployment.retraining.view import view_of
from tuneloop_operator.decide.model_deployment.rollout.state import (
    Phase,
    Rejection,
    RejectionReason,
    Rollout,
    Split,
    Strategy,
)

REJECTED = Rejection(
    revision="new",
    reason=RejectionReason.GATE_FAILED,
    message="gate errors failed",
    at=datetime(2026, 1, 1, tzinfo=UTC),
    spec_digest="s1",
)
IDLE = Rollout(strategy=Strategy.CANARY, stable="old", split=Split(generation=1, weights=(("old", 100),)))
ON_ITS_WAY = replace(IDLE, canary="new", phase=Phase.PROGRESSING)
TRIALS: list[tuple[str, Rollout, Trial]] = [
    ("not taken up", IDLE, Trial.WAITING),
    ("starting", replace(ON_ITS_WAY, phase=Phase.STARTING), Trial.CANARY),
    ("progressing", ON_ITS_WAY, Trial.CANARY),
    ("held", replace(ON_ITS_WAY, phase=Phase.HELD), Trial.CANARY),
    ("promoting", replace(ON_ITS_WAY, phase=Phase.PROMOTING), Trial.PROMOTING),
    ("rolling back", replace(ON_ITS_WAY, phase=Phase.ROLLING_BACK), Trial.CANARY),
    ("rolled back", replace(IDLE, phase=Phase.ROLLED_BACK, rejected=(REJECTED,)), Trial.REJECTED),
    ("baking", replace(IDLE, stable="new", phase=Phase.BAKING), Trial.BAKING),
    ("reverting", replace(IDLE, stable="new", canary="old", phase=Phase.REVERTING), Trial.BAKING),
    ("baked", replace(IDLE, stable="new", phase=Phase.DONE), Trial.PROMOTED),
    ("rejected under another spec", replace(IDLE, rejected=(replace(REJECTED, spec_digest="s0"),)), Trial.WAITING),
    ("another one was rejected", replace(IDLE, rejected=(replace(REJECTED, revision="other"),)), Trial.WAITING),
]


@pytest.mark.parametrize(("_", "rollout", "trial"), TRIALS, ids=[row[0] for row in TRIALS])
def test_the_trial_of_a_model(_: str, rollout: Rollout, trial: Trial) -> None:
    found = view_of(rollout, revision="new", spec_digest="s1", is_served=False, pin=None)
    assert found.trial is trial
    assert (found.message == "gate errors failed") == (trial is Trial.REJECTED)


def test_the_numbers_of_a_roll_out_are_no_news_of_the_loop() -> None:
    views = [
        view_of(
            replace(ON_ITS_WAY, why=f"gate errors has {count} of 500 requests"),
            revision=revision,
            spec_digest="s1",
            is_served=False,
            pin=None,
        )
        for count in (1, 2)
        for revision in ("new", "")
    ]
    assert {view.message for view in views} == {"the roll-out of revision new is Progressing"}


def test_a_model_that_serves_already_is_not_rejected_with_an_edit_of_other_fields() -> None:
    rollout = replace(IDLE, phase=Phase.ROLLED_BACK, rejected=(REJECTED,))
    assert view_of(rollout, revision="new", spec_digest="s1", is_served=True, pin=None).trial is Trial.PROMOTED


def test_without_a_model_on_trial_there_is_no_trial() -> None:
    rollout = replace(IDLE, phase=Phase.DONE, stable="")
    assert view_of(rollout, revision="", spec_digest="s1", is_served=False, pin=None).trial is Trial.WAITING


BUSY: list[tuple[Rollout | None, str | None, BlockedReason | None, str]] = [
    (None, None, BlockedReason.ROLLOUT_IN_PROGRESS, "no model serves yet"),
    (IDLE, None, None, ""),
    (replace(IDLE, phase=Phase.ABORTED), None, None, ""),
    (replace(IDLE, phase=Phase.BAKING), None, BlockedReason.BAKING, "revision old bakes"),
    (replace(ON_ITS_WAY, why="waits"), None, BlockedReason.ROLLOUT_IN_PROGRESS, "revision new is Progressing"),
    (IDLE, "old", BlockedReason.ROLLOUT_IN_PROGRESS, "spec.model.pin keeps revision old"),
]


@pytest.mark.parametrize(("rollout", "pin", "busy", "message"), BUSY)
def test_whether_another_model_can_be_rolled_out(
    rollout: Rollout | None, pin: str | None, busy: BlockedReason | None, message: str
) -> None:
    found = view_of(rollout, revision="", spec_digest="s1", is_served=False, pin=pin)
    assert found.busy is busy
    assert message in found.message
