"""Labels by the client that sent them, of one day and revision. Pure: a client is a name in a header, and no name leaves this process.

Accuracy counts all labels alike, so that one client may pull it down alone. What is shown is the client with the most wrong labels: without that one the rest must still be as bad.
"""

from __future__ import annotations

MOST_CLIENTS = 128
"""Of a day and revision. Beyond that a newcomer takes the place of the client with the fewest wrong labels."""


class Clients:
    """Labels and wrong labels of each client."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[int, float]] = {}
        """By a hash of the name: labels, and those of them that were wrong."""

    def labelled(self, client: str, *, score: float) -> None:
        """Count a label. client: empty if nobody knows whose it is; then it is nobody's. score: as in `Cohorts.labelled`."""
        if not client:
            return
        mark = hash(client)
        if mark not in self._counts and len(self._counts) >= MOST_CLIENTS:
            del self._counts[min(self._counts, key=lambda known: self._counts[known][1])]
        labels, wrong = self._counts.get(mark, (0, 0))
        self._counts[mark] = labels + 1, wrong + (1 - score)

    @property
    def worst(self) -> tuple[int, float]:
        """Labels and right ones of the client with the most wrong labels; (0, 0) without a client."""
        labels, wrong = max(self._counts.values(), key=lambda found: found[1], default=(0, 0))
        return labels, labels - wrong
