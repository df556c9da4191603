"""When a number that is beyond its limit makes a trigger fire, and when the trigger is over. Pure.

A row of numbers beyond the limit is unbroken while each number is there, and no more than `longest_gap` after the one before. The trigger fires when
the row has lasted for `for`, and is over when a row of numbers that are back has lasted for `clearFor`. Where there is no number, nothing happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import Measurement, Side, Unmeasured
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import key_of, reported
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.state.conditions import stamp

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Judged, TriggerMemory

DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Hold:
    """How long numbers must last. All in seconds."""

    fires_after: float
    clears_after: float
    spacing: float
    """Between two numbers that count."""
    longest_gap: float
    """Between two numbers of one row. After a longer one nobody knows what was between them."""
    is_continuous: bool
    """Whether a number on the other side counts at once; else one number in `spacing` counts, whatever it says."""


def daily(*, fires_after: float, clears_after: float) -> Hold:
    """Return the hold of a trigger with one look a day: the windows of two looks share nothing, and the level of a look is that of a day."""
    return Hold(
        fires_after=fires_after, clears_after=clears_after, spacing=DAY, longest_gap=2 * DAY, is_continuous=False
    )


def held(
    trigger: Trigger, memory: TriggerMemory, found: Measurement | Unmeasured, hold: Hold, *, now: datetime
) -> Judged:
    """Return what a trigger says after a look."""
    if isinstance(found, Unmeasured):
        return reported(trigger, memory, TriggerState.UNKNOWN, found.reason, now=now)
    memory = _counted(memory, found, hold)
    return reported(
        trigger,
        memory,
        _state(memory),
        _sentence(memory, found, hold),
        now=now,
        value=found.value,
        threshold=found.threshold,
    )


def _state(memory: TriggerMemory) -> TriggerState:
    if memory.fired_key:
        return TriggerState.FIRING
    return TriggerState.INACTIVE if memory.beyond_since is None else TriggerState.PENDING


def _counted(memory: TriggerMemory, found: Measurement, hold: Hold) -> TriggerMemory:
    """Return the memory with one number more, if the number counts."""
    if memory.read_at is not None:
        elapsed = (found.at - memory.read_at).total_seconds()
        if 0 <= elapsed < hold.spacing and not (hold.is_continuous and found.side is not _side(memory)):
            return memory
        if not 0 <= elapsed <= hold.longest_gap:  # below 0: the clock went back
            memory = replace(memory, beyond_since=None, clear_since=None)
    beyond = (memory.beyond_since or found.at) if found.side is Side.BEYOND else None
    clear = (memory.clear_since or found.at) if found.side is Side.CLEAR else None
    memory = replace(memory, beyond_since=beyond, clear_since=clear, read_at=found.at)
    if beyond is not None and (lasted := (found.at - beyond).total_seconds()) >= hold.fires_after:
        memory = replace(memory, fired_key=_key(memory, beyond, lasted, hold))
    elif clear is not None and (found.at - clear).total_seconds() >= hold.clears_after:
        memory = replace(memory, fired_key="")
    return _settled(memory, hold)


def _side(memory: TriggerMemory) -> Side:
    """Return the side of the row that is counted."""
    if memory.beyond_since is not None:
        return Side.BEYOND
    return Side.BETWEEN if memory.clear_since is None else Side.CLEAR


def _key(memory: TriggerMemory, beyond: datetime, lasted: float, hold: Hold) -> str:
    """Return the key of the newest whole stretch of `for`: as long as the trigger fires, each stretch is new evidence."""
    return key_of(memory, memory.revision, stamp(beyond), int(lasted // max(hold.fires_after, hold.spacing)))


def _settled(memory: TriggerMemory, hold: Hold) -> TriggerMemory:
    """Return the memory without what no later look needs: a trigger at rest changes no status."""
    is_firing = bool(memory.fired_key)
    if not is_firing:
        memory = replace(memory, clear_since=None)
    counts = memory.clear_since if is_firing else memory.beyond_since
    return replace(memory, read_at=None) if hold.is_continuous and counts is None else memory


def _sentence(memory: TriggerMemory, found: Measurement, hold: Hold) -> str:
    if memory.fired_key and memory.clear_since is not None:
        return f"{found.reason}; over {_since(memory.clear_since, hold.clears_after)}"
    if not memory.fired_key and memory.beyond_since is not None:
        return f"{found.reason}; fires {_since(memory.beyond_since, hold.fires_after)}"
    return found.reason


def _since(begin: datetime, seconds: float) -> str:
    length = f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds:.0f} s"
    return f"when that has lasted for {length} since {stamp(begin)}"
