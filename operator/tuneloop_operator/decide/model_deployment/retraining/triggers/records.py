"""What is remembered of triggers, written into the status and read back. What is read is what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.trigger_status import ShareStatus, TriggerMemoryStatus
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Share, TriggerMemory
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.state.conditions import moment, stamp

if TYPE_CHECKING:
    from datetime import datetime


def written_trigger(memory: TriggerMemory) -> TriggerMemoryStatus:
    """Return the memory as it stands in the status."""
    baseline = memory.baseline
    return TriggerMemoryStatus(
        name=memory.name,
        fields=memory.fields or None,
        revision=memory.revision or None,
        state=memory.state.value,
        since=_stamp(memory.since),
        beyond_since=_stamp(memory.beyond_since),
        clear_since=_stamp(memory.clear_since),
        read_at=_stamp(memory.read_at),
        fired_key=memory.fired_key or None,
        baseline=None if baseline is None else ShareStatus(right=baseline.right, labels=baseline.labels),
        slot=_stamp(memory.slot),
        shown_at=_stamp(memory.shown_at),
        token=memory.token,
    )


def read_trigger(status: TriggerMemoryStatus) -> TriggerMemory:
    """Return the memory that a status holds."""
    baseline = status.baseline
    return TriggerMemory(
        name=status.name,
        fields=status.fields or "",
        revision=status.revision or "",
        state=TriggerState(status.state),
        since=_moment(status.since),
        beyond_since=_moment(status.beyond_since),
        clear_since=_moment(status.clear_since),
        read_at=_moment(status.read_at),
        fired_key=status.fired_key or "",
        baseline=None if baseline is None else Share(right=baseline.right, labels=baseline.labels),
        slot=_moment(status.slot),
        shown_at=_moment(status.shown_at),
        token=status.token,
    )


def _stamp(time: datetime | None) -> str | None:
    return None if time is None else stamp(time)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
