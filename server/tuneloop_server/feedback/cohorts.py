"""Counts by the day on which a prediction was made, of the last eight days. Pure: the clock is passed in.

A label belongs to the day of its prediction, however late it comes: only so can the labels of two revisions be compared, and what part of a day has
labels. A day that is over eight days old has no counts any more, and its tokens are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuneloop_server.feedback.clients import Clients
from tuneloop_server.feedback.errors import RefusedFeedback

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_SECONDS = 86_400
KEPT_DAYS = 8
MOST_AHEAD_SECONDS = 300
"""By so much may the clock of the server that predicted be ahead of this one's."""
MOST_REVISIONS = 16
"""Revisions with counts of their own; labels for further ones count as `other`."""
OTHER = "other"


@dataclass(slots=True)
class CohortCounts:
    """What was counted of the predictions of a revision on one day."""

    predictions: int = 0
    """That this process made and gave a token."""
    labels: int = 0
    """Predictions for which this process got a label."""
    correct: float = 0
    """Those of them that were right; of generated answers the sum of their scores."""
    clients: Clients = field(default_factory=Clients)
    """The same labels by client."""


class Cohorts:
    """The counts of one process, by day and revision."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, str], CohortCounts] = {}

    def predicted(self, revision: str, *, now: float) -> None:
        """Count a prediction that went out with a token."""
        self._of(revision, day_of(now), now=now).predictions += 1

    def labelled(self, revision: str, *, at: float, score: float, now: float, client: str = "") -> None:
        """Count a label. at: when the prediction was made, accepted by `require_recent`; score: 1 for a right prediction, 0 for a wrong one, and what
        lies between for a generated answer; client: who sent it, empty if nobody knows.
        """
        counts = self._of(revision, min(day_of(at), day_of(now)), now=now)
        counts.labels += 1
        counts.correct += score
        counts.clients.labelled(client, score=score)

    def kept(self, *, now: float) -> Iterator[tuple[int, str, CohortCounts]]:
        """Yield (day, revision, counts) of the last eight days."""
        self._forget(now)
        for (day, revision), counts in sorted(self._counts.items()):
            yield day, revision, counts

    def _of(self, revision: str, day: int, *, now: float) -> CohortCounts:
        if (found := self._counts.get((day, revision))) is not None:  # of nearly all predictions
            return found
        self._forget(now)
        known = {other for _, other in self._counts}
        if revision not in known and len(known) >= MOST_REVISIONS:
            revision = OTHER
        return self._counts.setdefault((day, revision), CohortCounts())

    def _forget(self, now: float) -> None:
        first = days(now=now)[0]
        if any(day < first for day, _ in self._counts):
            self._counts = {key: counts for key, counts in self._counts.items() if key[0] >= first}


def day_of(at: float) -> int:
    """Return the day of a time, in days since 1970 (UTC)."""
    return int(at // DAY_SECONDS)


def days(*, now: float) -> range:
    """Return the days that have counts, oldest first."""
    return range(day_of(now) - KEPT_DAYS + 1, day_of(now) + 1)


def written(day: int) -> str:
    """Return a day as 2026-11-30."""
    return datetime.fromtimestamp(day * DAY_SECONDS, tz=UTC).date().isoformat()


def require_recent(at: float, *, now: float) -> None:
    """Raise RefusedFeedback if a prediction is too old to be counted, or of the future."""
    if day_of(at) < days(now=now)[0]:
        message = (
            f"token: is of {written(day_of(at))}, and only predictions of the last {KEPT_DAYS} days (UTC) are counted"
        )
        raise RefusedFeedback(message, reason="expired")
    if at > now + MOST_AHEAD_SECONDS:
        message = f"token: is {at - now:.0f} s ahead of the clock of this server, and at most {MOST_AHEAD_SECONDS} s are allowed; the clocks of two nodes differ"
        raise RefusedFeedback(message, reason="future")
