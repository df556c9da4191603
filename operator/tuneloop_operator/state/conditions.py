"""Conditions, as metav1.Condition."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from tuneloop_api.v1alpha1.common import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_api.v1alpha1.common import Conditions

MOST_MESSAGE = 32768
"""Characters that the API server takes; what is longer is cut."""
QUEUED, NO_ATTEMPT, PODS_REFUSED = "Queued", "NoAttemptRuns", "PodsRefused"
"""Reasons of the condition PodsReady that decisions depend on."""


def stamp(now: datetime) -> str:
    """Return a time as RFC 3339 in UTC, whole seconds, as the API server writes it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Return the time in a text of `stamp` or of the API server."""
    return datetime.fromisoformat(text)


def condition(conditions: Iterable[Condition] | None, type_: str) -> Condition | None:
    """Return the condition of this type."""
    return next((condition for condition in conditions or () if condition.type == type_), None)


def holds(conditions: Iterable[Condition] | None, type_: str) -> bool:
    """Whether the condition of this type is True."""
    found = condition(conditions, type_)
    return found is not None and found.status == "True"


def with_condition(  # noqa: D417  (the rest are the condition's own fields)
    conditions: Iterable[Condition] | None,
    type_: str,
    *,
    true: bool | None,
    reason: str,
    message: str = "",
    now: datetime,
) -> Conditions:
    """Return `conditions` with this condition in it. The transition time changes only when the status changes.

    Args:
        true: whether the condition holds; None while nobody can tell.
        now: the transition time, if the status changes.
    """
    kept = list(conditions or ())
    old = condition(kept, type_)
    status: Literal["True", "False", "Unknown"] = "Unknown" if true is None else "True" if true else "False"
    since = old.last_transition_time if old is not None and old.status == status else stamp(now)
    new = Condition(
        type=type_, status=status, reason=reason, message=message[:MOST_MESSAGE], last_transition_time=since
    )
    return [new if other is old else other for other in kept] + ([] if old is not None else [new])


def without_condition(conditions: Iterable[Condition] | None, type_: str) -> Conditions:
    """Return `conditions` without the condition of this type."""
    return [condition for condition in conditions or () if condition.type != type_]
