"""What a decision is: the writes of one round, in the order in which they are carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Kind, Manifest


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """An object to delete, if it still is the one that was seen."""

    kind: Kind
    name: str
    uid: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a person wants to be told of once."""

    type: Literal["Normal", "Warning"] = "Normal"
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Status first, because it is what must never be lost; then deletions, then applied and created children."""

    look: bool = False
    """Nothing can be decided on what the watch told: read everything live and decide again."""
    status: dict[str, Any] | None = None
    """The whole new status; None if it stays."""
    progress_only: bool = False
    """The status changes in nothing but progress."""
    delete: tuple[Deletion, ...] = ()
    apply: tuple[Manifest, ...] = ()
    create: tuple[Manifest, ...] = ()
    requeue_after: float | None = None
    """Seconds after which to decide again even if nothing is seen."""
    events: tuple[Event, ...] = ()
