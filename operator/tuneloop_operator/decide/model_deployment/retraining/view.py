"""The roll-out as the loop sees it, from its memory. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.facts import RolloutView, Trial
from tuneloop_operator.decide.model_deployment.retraining.state import BlockedReason
from tuneloop_operator.decide.model_deployment.rollout.state import IDLE, Phase, RejectionReason

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.state import Rejection, Rollout

_TAKEN_BACK = frozenset({RejectionReason.ROLLED_BACK, RejectionReason.GATE_FAILED, RejectionReason.BROKEN})
"""Reasons by which a revision goes that was promoted before."""


def view_of(
    rollout: Rollout | None, *, revision: str, spec_digest: str, is_served: bool, pin: str | None
) -> RolloutView:
    """Return the view.

    revision: of the model of the run, empty if none is on trial; spec_digest: of the spec of now, under which a rejection holds; is_served:
    whether stable serves that model, in whatever revision; pin: the revision that spec.model.pin asks for.
    """
    if rollout is None:
        return RolloutView(busy=BlockedReason.ROLLOUT_IN_PROGRESS, message="no model serves yet")
    rejection = _rejection(rollout, revision, spec_digest)
    trial = _trial(rollout, revision, rejection, is_served=is_served)
    busy, message = _busy(rollout, pin)
    taken_back = tuple(item.revision for item in rollout.rejected if item.reason in _TAKEN_BACK)
    message = rejection.message if rejection else message
    return RolloutView(trial=trial, message=message, busy=busy, taken_back=taken_back)


def _rejection(rollout: Rollout, revision: str, spec_digest: str) -> Rejection | None:
    found = (item for item in rollout.rejected if (item.revision, item.spec_digest) == (revision, spec_digest))
    return next(found, None)


def _trial(rollout: Rollout, revision: str, rejection: Rejection | None, *, is_served: bool) -> Trial:
    if not revision:
        return Trial.WAITING
    if rollout.stable == revision:
        # other phases than these have a canary: a way back, or what a pin asks for
        return Trial.PROMOTED if rollout.phase in IDLE else Trial.BAKING
    if rollout.canary == revision:
        return Trial.PROMOTING if rollout.phase is Phase.PROMOTING else Trial.CANARY
    if rejection is None or rollout.phase not in IDLE:
        return Trial.WAITING
    # what was rejected is an edit of other fields, after the model itself was promoted
    return Trial.PROMOTED if is_served else Trial.REJECTED


def _busy(rollout: Rollout, pin: str | None) -> tuple[BlockedReason | None, str]:
    if pin is not None:
        return BlockedReason.ROLLOUT_IN_PROGRESS, f"spec.model.pin keeps revision {pin}"
    if rollout.phase in IDLE:
        return None, ""
    if rollout.phase is Phase.BAKING:
        return BlockedReason.BAKING, f"revision {rollout.stable} bakes"
    # why is in status.rollout: its counts change every few seconds, and would be written twice
    return BlockedReason.ROLLOUT_IN_PROGRESS, f"the roll-out of revision {rollout.canary} is {rollout.phase}"
