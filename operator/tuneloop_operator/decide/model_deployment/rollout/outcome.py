"""What one transition makes of a roll-out: the new memory, and the Event that tells people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.decision import Event

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one transition."""

    rollout: Rollout
    event: Event | None = None


def announced(rollout: Rollout, reason: str, message: str, *, warns: bool = False) -> Outcome:
    """Return an outcome with an Event. warns: a person may have to act."""
    event = Event(type="Warning" if warns else "Normal", reason=reason, message=message)
    return Outcome(rollout=rollout, event=event)
