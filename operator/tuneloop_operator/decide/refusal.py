"""A field whose value cannot be used here, as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.wire.printable import printable
from tuneloop_operator.decide.decision import Event
from tuneloop_operator.state.conditions import condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.v1alpha1.common import Condition

_SHOWN = 20
"""Refusals that a message names; a thousand labels that are alike are a thousand refusals."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A field whose value cannot be used here."""

    reason: str
    """One CamelCase word."""
    field: str
    given: str
    allowed: str
    example: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.given}; {self.allowed}; for example {self.example}"


def message_of(refusals: Sequence[Refusal]) -> str:
    """Return the first refusals, one a line, and how many more there are."""
    lines = [str(refusal) for refusal in refusals[:_SHOWN]]
    return "\n".join([*lines, *([f"and {more} more"] if (more := len(refusals) - _SHOWN) > 0 else [])])


def refusal_events(before: Sequence[Condition] | None, after: Sequence[Condition] | None) -> tuple[Event, ...]:
    """Return an Event about the refusal in the new conditions, once for each reason and message; none if nothing is refused."""
    old, new = condition(before, "Accepted"), condition(after, "Accepted")
    if new is None or new.status != "False":
        return ()
    message = printable(new.message)  # as it is stored, in the old conditions
    if old is not None and (old.reason, old.message) == (new.reason, message):
        return ()
    return (Event(type="Warning", reason=new.reason, message=message),)
