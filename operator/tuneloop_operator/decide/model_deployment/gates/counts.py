"""The comparator's counts: what may be read as such, and which of them belong to a pair of revisions."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.contract.comparison import ComparisonCounts
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from typing import Any

_VERSION = 1
MOST_COUNT = 2**53
"""What every reader of JSON takes as it is: a part of the counts is kept in the status."""


def counts_of(document: dict[str, Any]) -> ComparisonCounts | Missing:
    """Return the counts in a JSON object. Those of another release are NoData, for the comparator is being replaced; what is no counts at all is an Error."""
    version = document.get("version", _VERSION)
    if version != _VERSION:
        return Missing(
            verdict=Verdict.NO_DATA,
            reason=f"the comparator counts in version {version!r}, version {_VERSION} is read: it is to be replaced",
        )
    try:
        counts = ComparisonCounts.from_wire(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the document"
        return Missing(
            verdict=Verdict.ERROR, reason=f"the comparator's counts cannot be read: {field}: {first['msg'].lower()}"
        )
    if (too_large := _too_large(counts.to_wire())) is not None:
        return Missing(
            verdict=Verdict.ERROR,
            reason=f"the comparator's counts cannot be read: {too_large}: at most {MOST_COUNT} can be counted",
        )
    if began_at(counts) is None:
        return Missing(
            verdict=Verdict.ERROR,
            reason=f"the comparator's counts cannot be read: startedAt: {counts.started_at!r} is no time with a zone; "
            "example: 2026-11-29T10:00:00Z",
        )
    return counts


def _too_large(value: Any, field: str = "") -> str | None:
    """Return the path of the first count that is too large; None if there is none."""
    if isinstance(value, dict):
        parts = [(f"{field}.{name}" if field else name, part) for name, part in value.items()]
    elif isinstance(value, list):
        parts = [(f"{field}[{number}]", part) for number, part in enumerate(value)]
    else:
        return field if isinstance(value, int) and abs(value) > MOST_COUNT else None
    return next((found for name, part in parts if (found := _too_large(part, name)) is not None), None)


def of_pair(
    counts: ComparisonCounts | Missing | None, *, deployment: str, stable: str, canary: str
) -> ComparisonCounts | Missing:
    """Return the counts if they are those of the pair. None: nobody has answered yet."""
    if counts is None:
        return Missing(verdict=Verdict.NO_DATA, reason="the comparator does not answer yet")
    if isinstance(counts, Missing):
        return counts
    if (counts.deployment, counts.stable, counts.canary) != (deployment, stable, canary):
        return Missing(
            verdict=Verdict.NO_DATA,
            reason=f"the comparator compares {counts.canary} with {counts.stable} of {counts.deployment}, "
            f"not {canary} with {stable} of {deployment}: it is to be replaced",
        )
    return counts


def began_at(counts: ComparisonCounts) -> datetime | None:
    """Return when the counts began at zero; None if that cannot be read."""
    try:
        began = datetime.fromisoformat(counts.started_at)
    except ValueError:
        return None
    return began if began.tzinfo is not None else None
