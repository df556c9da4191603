"""Conditions of a training that runs: stale progress, failed saves, a short grace period, findings in its curves.

Each condition is there only if something is, or was, wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.names import RESERVE_SECONDS
from tuneloop_operator.state.conditions import condition, moment, with_condition, without_condition
from tuneloop_operator.state.runs import Run, run_of, stage_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_api.contract.results import Finding
    from tuneloop_api.v1alpha1.common import Conditions
    from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
    from tuneloop_operator.state.observed import ObservedJob

STALE_SECONDS = 600.0
"""How long a training may send no progress before ProgressStale. The pods themselves find a hang much earlier."""
MOST_TEXT = 4096
"""Characters of a condition's message."""


def with_health(
    observed: ObservedJob, status: FineTuneJobStatus, conditions: Conditions, *, now: datetime
) -> Conditions:
    """Return the conditions by the content and the age of the newest progress message."""
    if stage_of(status) != "train" or run_of(status) is not Run.CREATED:
        return without_condition(conditions, "ProgressStale")
    message = observed.progress
    if message is not None and message.stage == "train" and message.attempt == status.attempt:
        conditions = _with_saving(observed, conditions, message, now=now)
        conditions = with_findings(conditions, message.findings, now=now)
    return _with_staleness(status, conditions, now=now)


def with_findings(conditions: Conditions, findings: Sequence[Finding] | None, *, now: datetime) -> Conditions:
    """Return the conditions with the findings in the curves of the training. TrainingHealthy is False while there are any.

    None: the message says nothing about findings, and the condition stays.
    """
    if findings:
        text = "\n".join(f"{finding.message}. {finding.advice}" for finding in findings)[:MOST_TEXT]
        return with_condition(conditions, "TrainingHealthy", true=False, reason=findings[0].name, message=text, now=now)
    return (
        _recovered(conditions, "TrainingHealthy", reason="NothingFound", now=now)
        if findings is not None
        else conditions
    )


def stale_in(status: FineTuneJobStatus, *, now: datetime) -> float | None:
    """Return the seconds until progress counts as stale; None if it does already, or if the training does not run."""
    last = _last_heartbeat(status)
    left = None if last is None else STALE_SECONDS - (now - last).total_seconds()
    return left if left is not None and left > 0 else None


def _with_saving(
    observed: ObservedJob, conditions: Conditions, message: ProgressMessage, *, now: datetime
) -> Conditions:
    if message.save_error is not None:
        conditions = with_condition(
            conditions,
            "CheckpointFresh",
            true=False,
            reason="SaveFailed",
            message=message.save_error[:MOST_TEXT],
            now=now,
        )
    else:
        conditions = _recovered(conditions, "CheckpointFresh", reason="Saved", now=now)
    grace = observed.settings.checkpoint.grace_seconds
    seconds = message.save_seconds_p95
    if seconds is not None and seconds > grace - min(RESERVE_SECONDS, grace / 2):
        text = f"a save takes {seconds:.0f} s, a pod that is stopped gets {grace} s (checkpoint.gracePeriod): its last steps would be lost"
        return with_condition(
            conditions, "GracePeriodTooShort", true=True, reason="SaveTakesLonger", message=text, now=now
        )
    return without_condition(conditions, "GracePeriodTooShort") if seconds is not None else conditions


def _with_staleness(status: FineTuneJobStatus, conditions: Conditions, *, now: datetime) -> Conditions:
    last = _last_heartbeat(status)
    if last is None or (now - last).total_seconds() < STALE_SECONDS:
        return without_condition(conditions, "ProgressStale")
    text = f"no message from the training pods for {STALE_SECONDS / 60:.0f} minutes"
    return with_condition(conditions, "ProgressStale", true=True, reason="NoMessages", message=text, now=now)


def _last_heartbeat(status: FineTuneJobStatus) -> datetime | None:
    """Return the time of the newest message of the running pods, or of their start; None if they do not run."""
    if status.running_since is None:
        return None
    since, last = moment(status.running_since), status.progress.last_heartbeat if status.progress else None
    return since if last is None else max(since, moment(last))


def _recovered(conditions: Conditions, type_: str, *, reason: str, now: datetime) -> Conditions:
    if condition(conditions, type_) is None:
        return conditions
    return with_condition(conditions, type_, true=True, reason=reason, now=now)
