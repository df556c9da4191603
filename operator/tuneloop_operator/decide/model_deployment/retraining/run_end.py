"""The end of a run: its record, the pause after it, what serves from now on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.state import (
    MOST_RECORDS,
    SETBACKS,
    LoopState,
    Outcome,
    Record,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.retraining.state import Loop

MOST_TOTALS = 64
MOST_REASON_CHARACTERS = 512


def ended(loop: Loop, outcome: Outcome, reason: str, *, now: datetime) -> Loop:
    """Return the memory without its run, which has ended in this way. The model of a promoted run serves from now on, until a person changes spec.model."""
    if loop.run is None:
        raise AssertionError("a run ends once")
    at = now.replace(microsecond=0)
    record = Record(run=loop.run, outcome=outcome, reason=reason[:MOST_REASON_CHARACTERS], ended=at)
    promoted = outcome is Outcome.PROMOTED
    return replace(
        loop,
        state=LoopState.IDLE,
        blocked=None,
        why=f"run {loop.run.name} ended as {outcome}: {record.reason}",
        run=None,
        choice=loop.run.challenger if promoted else loop.choice,
        setbacks=0 if promoted else loop.setbacks + (outcome in SETBACKS),
        history=(*_with_room(loop.history), record),
        totals=_counted(loop.totals, loop.run.trigger, outcome),
        last_success=at if promoted else loop.last_success,
    )


def _with_room(history: tuple[Record, ...]) -> tuple[Record, ...]:
    """Return the records with room for another one. The oldest run that was not started goes first: the others count in the budget."""
    if len(history) < MOST_RECORDS:
        return history
    doomed = next((record for record in history if record.outcome is Outcome.DRY_RUN), history[0])
    return tuple(record for record in history if record is not doomed)


def _counted(
    totals: tuple[tuple[str, str, int], ...], trigger: str, outcome: Outcome
) -> tuple[tuple[str, str, int], ...]:
    """Return the totals with one run more. Of triggers that were renamed again and again the oldest ones make room."""
    counts = {(name, word): count for name, word, count in totals}
    counts[trigger, outcome.value] = counts.pop((trigger, outcome.value), 0) + 1
    return tuple((name, word, count) for (name, word), count in counts.items())[-MOST_TOTALS:]
