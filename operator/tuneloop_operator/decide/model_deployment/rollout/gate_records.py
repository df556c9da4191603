"""What is remembered of gates, written into the status and read back. What is read is what was written, to the second."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.rollout_status import (
    MOST_REASON_CHARACTERS,
    GateLookStatus,
    GateMemoryStatus,
    GateStatus,
)
from tuneloop_operator.decide.model_deployment.gates.gate_memory import GateMemory
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, GateResult, Verdict
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary
from tuneloop_operator.state.conditions import moment, stamp

if TYPE_CHECKING:
    from datetime import datetime

_LONGEST_TEXT = 4096
"""Characters of a sentence that the API server takes."""


def sentence(text: str, *, most: int = _LONGEST_TEXT) -> str:
    """Return a sentence as the API server takes it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def written_gate(gate: GateSummary) -> GateStatus:
    """Return what a gate has found as people read it."""
    return GateStatus(
        name=gate.name, verdict=gate.verdict.value, action=gate.action.value, reason=sentence(gate.reason)
    )


def read_gate(status: GateStatus) -> GateSummary:
    """Return what a gate has found."""
    return GateSummary(
        name=status.name, verdict=Verdict(status.verdict), action=GateAction(status.action), reason=status.reason
    )


def written_gate_memory(memory: GateMemory) -> GateMemoryStatus:
    """Return the memory of a gate as it stands in the status. Equal results in a row are written once: a comparator that is away says the same for long."""
    runs = [(result, sum(1 for _ in run)) for result, run in itertools.groupby(memory.results)]
    return GateMemoryStatus(
        gate=memory.gate,
        step=memory.step or None,
        look=memory.look or None,
        counts_started_at=memory.started_at or None,
        base=None if memory.base is None else [*memory.base],
        results=[_look(result, times) for result, times in runs] or None,
        counted_at=_stamp(memory.counted),
        read_at=_stamp(memory.read_at),
    )


def read_gate_memory(status: GateMemoryStatus) -> GateMemory:
    """Return the memory of a gate that a status holds."""
    return GateMemory(
        gate=status.gate,
        step=status.step or 0,
        look=status.look or 0,
        started_at=status.counts_started_at or "",
        base=None if status.base is None else tuple(status.base),
        results=tuple(
            result
            for look in status.results or ()
            for result in itertools.repeat(_read_look(status.gate, look), look.times or 1)
        ),
        counted=_moment(status.counted_at),
        read_at=_moment(status.read_at),
    )


def _look(result: GateResult, times: int) -> GateLookStatus:
    return GateLookStatus(
        verdict=result.verdict.value,
        look=result.look,
        at_step_end=result.at_step_end or None,
        margin=result.margin,
        sample=result.sample or None,
        harm=result.harm,
        low=result.low,
        high=None if result.high == math.inf else result.high,
        canary=result.canary,
        stable=result.stable,
        reason=sentence(result.reason, most=MOST_REASON_CHARACTERS),
        times=times if times > 1 else None,
    )


def _read_look(gate: str, status: GateLookStatus) -> GateResult:
    # JSON has no infinity: an upper limit that is absent beside a lower one is one
    is_open = status.low is not None and status.high is None
    return GateResult(
        gate=gate,
        verdict=Verdict(status.verdict),
        harm=status.harm,
        low=status.low,
        high=math.inf if is_open else status.high,
        margin=status.margin,
        canary=status.canary,
        stable=status.stable,
        sample=status.sample or 0,
        look=status.look,
        at_step_end=bool(status.at_step_end),
        reason=status.reason,
    )


def _stamp(time: datetime | None) -> str | None:
    return None if time is None else stamp(time)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
