"""What happened in a run of the story, as lines of JSON: requests, labels that came back, and marks such as a promotion."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request, and what became of it."""

    kind: ClassVar[str] = "request"

    number: int
    at: float
    """When it was sent: seconds since 1970."""
    domain: str
    truth: str
    prediction: str | None
    """None where there was no good answer."""
    score: float | None
    """Of the predicted class, 0 to 1."""
    revision: str
    """Which revision answered; empty where there was no answer."""
    status: int
    """HTTP status, 0 where there was no answer."""
    milliseconds: float
    repeated: bool
    """Whether the text was sent before: all texts of its domain were used up."""


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """A label that came back."""

    kind: ClassVar[str] = "feedback"

    number: int
    """Of the request."""
    at: float
    label: str
    correct: bool
    """Whether the label is the one that was predicted."""
    wrong_on_purpose: bool
    """Whether the label is not the true one."""
    status: int


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something worth a line in the plots: the turn of the traffic, a trigger, a run, a promotion."""

    kind: ClassVar[str] = "mark"

    at: float
    name: str
    """What happened, a word: `turn`, `promoted`, or any other."""
    text: str


Event: TypeAlias = Request | Feedback | Mark
_KINDS: dict[str, type[Event]] = {kind.kind: kind for kind in (Request, Feedback, Mark)}


def to_line(event: Event) -> str:
    """Return an event as a line of JSON."""
    return json.dumps({"kind": event.kind} | asdict(event), ensure_ascii=False) + "\n"


def from_lines(lines: Iterable[str]) -> list[Event]:
    """Return the events of lines that `to_line` made. A last line that was cut off by a kill is left out."""
    events: list[Event] = []
    for line in lines:
        if not line.endswith("\n"):
            break
        fields = json.loads(line)
        events.append(_KINDS[fields.pop("kind")](**fields))
    return events
