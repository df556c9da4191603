"""What a poll of a router says: each field of its query is checked, and refused by its name. A router is a pod of a tenant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.router import LONGEST_REASON, MOST_COUNTED_REVISIONS
from tuneloop_api.wire.printable import printable
from tuneloop_operator.progress.bearer import LARGEST_NUMBER, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_HOLD_ASKED = 3600
_COUNT = re.compile(r"([a-z](?:[-a-z0-9]{0,61}[a-z0-9])?):([0-9]{1,16})", re.ASCII)
_COUNTS = (
    f"up to {MOST_COUNTED_REVISIONS} revisions, each once with a whole number from 0 to {LARGEST_NUMBER}, are allowed, "
    "for example reviews-7d1f:5,reviews-03ab:95"
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """The query of a poll."""

    in_force: int
    hold: int
    """Seconds that the router would wait."""
    refused: int | None
    reason: str
    requests: tuple[tuple[str, int], ...]
    """Name of the revision's Deployment, and the number of requests that it has answered since the split was in force there."""

    @property
    def newest(self) -> int:
        """The newest generation of which the router need not be told."""
        return max(self.in_force, self.refused or 0)


def question_of(query: Mapping[str, str]) -> Question:
    """Return what a query says. Fields that nobody knows are ignored. Raises Rejected that names the field."""
    return Question(
        in_force=_whole(query, "inForce", most=LARGEST_NUMBER),
        hold=_whole(query, "hold", most=_LONGEST_HOLD_ASKED),
        refused=_whole(query, "refused", most=LARGEST_NUMBER) if "refused" in query else None,
        reason=printable(query.get("reason", ""))[:LONGEST_REASON],
        requests=_counts(query.get("requests", "")),
    )


def _whole(query: Mapping[str, str], name: str, *, most: int) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and int(text) <= most):
        raise Rejected(
            422,
            f"{name}: {printable(text)[:40] or 'is missing'}; a whole number from 0 to {most} is allowed, for example 12",
        )
    return int(text)


def _counts(text: str) -> tuple[tuple[str, int], ...]:
    """Return revisions and counts in the order of the names, so that an equal report is equal."""
    found = [_COUNT.fullmatch(part) for part in text.split(",", MOST_COUNTED_REVISIONS)] if text else []
    counts = {match[1]: int(match[2]) for match in found if match}
    if (
        len(counts) < len(found)
        or len(found) > MOST_COUNTED_REVISIONS
        or max(counts.values(), default=0) > LARGEST_NUMBER
    ):
        raise Rejected(422, f"requests: {printable(text)[:40]}; {_COUNTS}")
    return tuple(sorted(counts.items()))
