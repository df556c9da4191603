"""What a trigger has found: data between the triggers and the loop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class TriggerState(StrEnum):
    """Where a trigger stands. Without data it is Unknown, and never fires."""

    INACTIVE = "Inactive"
    PENDING = "Pending"
    FIRING = "Firing"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, kw_only=True)
class TriggerVerdict:
    """State of one trigger at one look."""

    name: str
    type: str
    action: str
    """Retrain or Alert."""
    state: TriggerState
    reason: str
    """One sentence, with the numbers."""
    value: float | None
    threshold: float | None
    since: datetime
    """Begin of this state."""
    key: str
    """What the trigger fired on: a hash of the data that it judged (window, schedule slot, token). The same key never starts a second run."""
