"""What is remembered of a gate between two readings: the looks that were taken, and where the counts stood when the step began."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.verdict import GateResult, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.gates.evidence import Missing

COUNTED_EVERY = 60.0
"""Seconds. NoData and Error count once in this time, however often the counts are read: a limit of 5 is 5 minutes."""
_LONGEST_REASON = 300
"""Characters that are kept. A comparator's own words may be long, and each time others: 60 results of 16 gates must have room in a status."""
NO_LOOK = frozenset({Verdict.NO_DATA, Verdict.ERROR})
"""Results that used no look."""


@dataclass(frozen=True, kw_only=True)
class GateMemory:
    """What a gate has shown in this roll-out. At the begin of a roll-out there is none."""

    gate: str
    step: int = 0
    """The tested step that `base` and `results` belong to, from 1."""
    started_at: str = ""
    """`startedAt` of the counts as they were last read."""
    base: tuple[int, ...] | None = None
    """The gate's counts when the step began (`observations.tally_of`), empty for zero; None: not read yet."""
    look: int = 0
    """Number of the last look that was taken."""
    results: tuple[GateResult, ...] = ()
    """Of the step, oldest first."""
    counted: datetime | None = None
    """When the newest NoData or Error was counted."""
    read_at: datetime | None = None
    """Of a gate with a query: when the newest number that counted was asked for."""


def in_step(memory: GateMemory, step: int) -> GateMemory:
    """Return the memory at a step: each step asks for its own Pass."""
    return memory if memory.step == step else replace(memory, step=step, base=None, results=(), counted=None)


def at_counts(memory: GateMemory, tally: tuple[int, ...], *, started_at: str, all_of_step: bool) -> GateMemory:
    """Return the memory after the counts were read. all_of_step: nothing in them is older than the step."""
    if memory.base is None:
        base = () if all_of_step else tally
    elif started_at == memory.started_at and len(memory.base) in {0, len(tally)}:
        base = memory.base
    else:  # they began anew: all that is there was counted in the step
        base = ()
    return replace(memory, base=base, started_at=started_at)


def readable_again(memory: GateMemory) -> GateMemory:
    """Return the memory after a reading that found counts: the next NoData or Error is not in a row with those before."""
    results = memory.results
    while results and results[-1].verdict in NO_LOOK:
        results = results[:-1]
    return replace(memory, results=results)


def with_missing(
    memory: GateMemory, missing: Missing, *, limit: int | None, margin: float, since: datetime, now: datetime
) -> GateMemory:
    """Return the memory after a reading without counts. since: when the step began. Without a limit nothing is kept: it would grow for ever."""
    if limit is None or (now - (memory.counted or since)).total_seconds() < COUNTED_EVERY:
        return memory
    if memory.results and memory.results[-1].verdict in NO_LOOK - {missing.verdict}:
        memory = readable_again(memory)  # only those in a row count, and the others would grow for ever
    result = GateResult(
        gate=memory.gate,
        verdict=missing.verdict,
        margin=margin,
        sample=missing.sample,
        look=memory.look,
        at_step_end=False,
        reason=missing.reason[:_LONGEST_REASON],
    )
    return replace(memory, results=(*memory.results, result), counted=now)
