"""What the phase of a FineTuneJob means for tools: the conditions Ready, Reconciling, Stalled and Suspended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.state.conditions import condition, holds, with_condition, without_condition
from tuneloop_operator.status.blockers import BLOCKERS
from tuneloop_operator.status.tool_conditions import READY, short, with_neither, with_reconciling, with_stalled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tuneloop_api.v1alpha1.common import Condition, Conditions
    from tuneloop_api.v1alpha1.fine_tune_job.status import JobPhase

SUSPENDED = "Suspended"
_MESSAGES: dict[JobPhase, str] = {
    "Pending": "the job has not started yet",
    "Preparing": "the data is being prepared",
    "Queued": "not all training pods run yet",
    "Running": "the model is being trained",
    "Restarting": "the last training attempt has ended, and the next attempt has not begun",
    "Exporting": "the model is being exported",
}
"""By the phases in which a job is on its way. The text of a phase is always the same, so that it costs no write of its own."""


def with_readiness(conditions: Conditions, *, phase: JobPhase, is_running: bool, now: datetime) -> Conditions:
    """Return the conditions with those that tools read.

    A suspended job is as its spec wants it, so that nobody waits for it; but it has no model, and so it is not Ready.
    is_running: whether the Job of a run is there, so that a blocker keeps nothing from going on.
    """
    conditions = _with_suspended(conditions, phase=phase, now=now)
    done = condition(conditions, "Complete")
    if phase == "Succeeded" and done is not None:
        conditions = with_condition(conditions, READY, true=True, reason=done.reason, message=done.message, now=now)
        return with_neither(conditions)
    is_next_run_due = not is_running and phase != SUSPENDED
    if (blocking := _blocking_condition(conditions, BLOCKERS if is_next_run_due else ())) is not None:
        reason, message = blocking.reason, blocking.message
        conditions = _not_ready(conditions, reason=reason, message=message, now=now)
        return with_stalled(conditions, reason=reason, message=message, now=now)
    if phase == SUSPENDED:
        return without_condition(with_neither(conditions), READY)
    message = _MESSAGES[phase]
    conditions = _not_ready(conditions, reason=phase, message=message, now=now)
    return with_reconciling(conditions, reason=phase, message=message, now=now)


def _blocking_condition(conditions: Conditions, blockers: Sequence[str]) -> Condition | None:
    """Return the condition because of which the job does not go on by itself; None if it does, or if it is to rest."""
    for type_, status in (("Failed", "True"), ("Accepted", "False"), *((name, "True") for name in blockers)):
        found = condition(conditions, type_)
        if found is not None and found.status == status:
            return found
    return None


def _not_ready(conditions: Conditions, *, reason: str, message: str, now: datetime) -> Conditions:
    return with_condition(conditions, READY, true=False, reason=reason, message=short(message), now=now)


def _with_suspended(conditions: Conditions, *, phase: JobPhase, now: datetime) -> Conditions:
    """Return the conditions with Suspended: True in that phase, False afterwards, absent of a job that was never suspended."""
    if phase == SUSPENDED:
        message = "spec.suspend is true; once it is false, the job goes on from its newest checkpoint"
        return with_condition(conditions, SUSPENDED, true=True, reason=SUSPENDED, message=message, now=now)
    if not holds(conditions, SUSPENDED):
        return conditions
    reason = "Finished" if phase in {"Succeeded", "Failed"} else "Resumed"
    return with_condition(conditions, SUSPENDED, true=False, reason=reason, now=now)
