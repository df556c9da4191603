"""Which request is sent when, and which label comes back when: decided by a seed, without sending anything."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo_loop.domains import NEGATIVE, POSITIVE, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, kw_only=True)
class TrafficPlan:
    """What the traffic looks like."""

    per_second: float = 10.0
    share_before: float = 0.0
    """Share of requests from the new domain before the turn, 0 to 1."""
    share_after: float = 1.0
    """The same after the turn."""
    labelled: float = 0.5
    """Share of requests whose label comes back."""
    wrong_labels: float = 0.0
    """Share of those labels that are not the true one."""
    delay_seconds: float = 5.0
    """Median of the time until a label comes back; times are log-normal."""
    delay_spread: float = 0.5
    """Standard deviation of the logarithm of that time; with 0 all take equally long."""
    sends_texts: bool = False
    """Whether a label comes with the text again, for a server that keeps rows of feedback (`feedback.storeInputs`)."""
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class PlannedLabel:
    """A label that is to come back."""

    label: str
    wrong_on_purpose: bool
    delay: float
    """Seconds after the answer."""


@dataclass(frozen=True, kw_only=True)
class PlannedRequest:
    """A request that is to be sent."""

    number: int
    row: Row
    repeated: bool
    feedback: PlannedLabel | None

    def due(self, plan: TrafficPlan) -> float:
        """Return the seconds after the start at which it is to be sent."""
        return self.number / plan.per_second


class Requests:
    """An endless stream of planned requests that can turn to another domain.

    Each text of a domain is sent once, in the order given, before any is sent again. The same seed, rows and request at which
    the traffic turns give the same stream.
    """

    def __init__(self, plan: TrafficPlan, old: Sequence[Row], new: Sequence[Row]) -> None:
        if not (old and new):
            raise ValueError("old, new: both domains need rows")
        self._plan = plan
        self._rows = (old, new)
        self._sent = [0, 0]
        self._number = 0
        self.turned_at: int | None = None
        """Number of the first request after the turn."""

    def turn(self) -> None:
        """Turn to the new domain with the next request."""
        if self.turned_at is None:
            self.turned_at = self._number

    def go_on_with(self, rows: Sequence[Row]) -> None:
        """Send these rows of the new domain from now on: texts that were kept back, so that no model has learned from them."""
        self._rows = (self._rows[0], rows)
        self._sent[1] = 0

    def __iter__(self) -> Iterator[PlannedRequest]:
        return self

    def __next__(self) -> PlannedRequest:
        chance = random.Random(f"{self._plan.seed}:{self._number}")
        share = self._plan.share_before if self.turned_at is None else self._plan.share_after
        domain = int(chance.random() < share)
        rows, sent = self._rows[domain], self._sent[domain]
        row = rows[sent % len(rows)]
        planned = PlannedRequest(
            number=self._number, row=row, repeated=sent >= len(rows), feedback=_label(self._plan, row, chance)
        )
        self._sent[domain] += 1
        self._number += 1
        return planned


def _label(plan: TrafficPlan, row: Row, chance: random.Random) -> PlannedLabel | None:
    comes, wrong, deviation = chance.random() < plan.labelled, chance.random() < plan.wrong_labels, chance.gauss(0, 1)
    if not comes:
        return None
    other = NEGATIVE if row.label == POSITIVE else POSITIVE
    return PlannedLabel(
        label=other if wrong else row.label,
        wrong_on_purpose=wrong,
        delay=plan.delay_seconds * math.exp(plan.delay_spread * deviation),
    )
