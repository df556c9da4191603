"""The conditions of a blocker: a child that could not be created or applied. Jobs and deployments show them alike. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.state.conditions import condition, with_condition, without_condition
from tuneloop_operator.state.observed import Blocker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Final, Literal

    from tuneloop_api.v1alpha1.common import Condition, Conditions

BLOCKERS: Final[tuple[Literal["NameConflict", "Refused"], ...]] = ("NameConflict", "Refused")
"""Types of the conditions, which are the reasons of a blocker."""


def with_blocker(conditions: Conditions, blocker: Blocker | None, *, is_gone: bool, now: datetime) -> Conditions:
    """Return the conditions with that of the blocker. is_gone: an earlier blocker holds no more, and its condition is removed."""
    for type_ in BLOCKERS:
        if blocker is not None and blocker.reason == type_:
            conditions = with_condition(conditions, type_, true=True, reason=type_, message=blocker.message, now=now)
        elif is_gone:
            conditions = without_condition(conditions, type_)
    return conditions


def blocker_in(conditions: Iterable[Condition] | None) -> Blocker | None:
    """Return the blocker that a status shows; None if it shows none."""
    for type_ in BLOCKERS:
        if (found := condition(conditions or (), type_)) is not None:
            return Blocker(reason=type_, message=found.message)
    return None
