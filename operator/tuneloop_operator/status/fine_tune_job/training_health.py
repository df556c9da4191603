"""What may be wrong with a training that runs: conditions that stand there only where something is, or was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import with_defaults
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
"""How long a training may be silent before it is said to be; a hang is found by the pods themselves, much earlier."""
_MOST_TEXT = 4096


def with_health(seen: ObservedJob, status: FineTuneJobStatus, conditions: Conditions, *, now: datetime) -> Conditions:
    """Return the conditions with what the newest progress message tells, and how old it is."""
    if stage_of(status) != "train" or run_of(status) is not Run.CREATED:
        return without_condition(conditions, "ProgressStale")
    message = seen.progress
    if message is not None and message.stage == "train" and message.attempt == status.attempt:
        conditions = _with_saving(seen, conditions, message, now=now)
        conditions = with_findings(conditions, message.findings, now=now)
    return _with_staleness(status, conditions, now=now)


def with_findings(conditions: Conditions, findings: Sequence[Finding] | None, *, now: datetime) -> Conditions:
    """Return the conditions with what the curves of the training tell: TrainingHealthy is False while they tell something."""
    if findings:
        text = "\n".join(f"{one.message}. {one.advice}" for one in findings)[:_MOST_TEXT]
        return with_condition(conditions, "TrainingHealthy", true=False, reason=findings[0].name, message=text, now=now)
    return (
        _recovered(conditions, "TrainingHealthy", reason="NothingFound", now=now)
        if findings is not None
        else conditions
    )


def stale_in(status: FineTuneJobStatus, *, now: datetime) -> float | None:
    """Return the seconds until a running training counts as silent; None if it does already, or does not run."""
    heard = _heard(status)
    left = None if heard is None else STALE_SECONDS - (now - heard).total_seconds()
    return left if left is not None and left > 0 else None


def _with_saving(seen: ObservedJob, conditions: Conditions, message: ProgressMessage, *, now: datetime) -> Conditions:
    if message.save_error is not None:
        conditions = with_condition(
            conditions,
            "CheckpointFresh",
            true=False,
            reason="SaveFailed",
            message=message.save_error[:_MOST_TEXT],
            now=now,
        )
    else:
        conditions = _recovered(conditions, "CheckpointFresh", reason="Saved", now=now)
    grace = with_defaults(seen.job.spec).checkpoint.grace_seconds
    needed = message.save_seconds_p95
    if needed is not None and needed > grace - min(RESERVE_SECONDS, grace / 2):
        text = f"a save takes {needed:.0f} s, a pod that is stopped gets {grace} s (checkpoint.gracePeriod): its last steps would be lost"
        return with_condition(
            conditions, "GracePeriodTooShort", true=True, reason="SaveTakesLonger", message=text, now=now
        )
    return without_condition(conditions, "GracePeriodTooShort") if needed is not None else conditions


def _with_staleness(status: FineTuneJobStatus, conditions: Conditions, *, now: datetime) -> Conditions:
    heard = _heard(status)
    if heard is None or (now - heard).total_seconds() < STALE_SECONDS:
        return without_condition(conditions, "ProgressStale")
    text = f"no message from the training pods for {STALE_SECONDS / 60:.0f} minutes"
    return with_condition(conditions, "ProgressStale", true=True, reason="NoMessages", message=text, now=now)


def _heard(status: FineTuneJobStatus) -> datetime | None:
    """Return when the pods that run were last heard of: their newest message, or their start."""
    if status.running_since is None:
        return None
    since, last = moment(status.running_since), status.progress.last_heartbeat if status.progress else None
    return since if last is None else max(since, moment(last))


def _recovered(conditions: Conditions, type_: str, *, reason: str, now: datetime) -> Conditions:
    if condition(conditions, type_) is None:
        return conditions
    return with_condition(conditions, type_, true=True, reason=reason, now=now)
