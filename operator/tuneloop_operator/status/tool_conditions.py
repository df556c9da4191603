"""The conditions that tools of GitOps read by the rules of kstatus. Both kinds show them alike. Pure.

Reconciling=True means InProgress and Stalled=True means Failed; each is there only while it is True, and never both. Without either,
Ready decides: False means InProgress, True or no Ready means Current.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.state.conditions import with_condition, without_condition

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.common import Conditions

READY, RECONCILING, STALLED = "Ready", "Reconciling", "Stalled"
_MOST_CHARACTERS = 500
"""Of a message. The whole text stands in the condition or the field that it was taken from."""


def with_reconciling(conditions: Conditions, *, reason: str, message: str, now: datetime) -> Conditions:
    """Return the conditions of an object that is on its way."""
    return _with_either(conditions, RECONCILING, STALLED, reason=reason, message=message, now=now)


def with_stalled(conditions: Conditions, *, reason: str, message: str, now: datetime) -> Conditions:
    """Return the conditions of an object that needs a person to go on, or that has failed for good."""
    return _with_either(conditions, STALLED, RECONCILING, reason=reason, message=message, now=now)


def with_neither(conditions: Conditions) -> Conditions:
    """Return the conditions of an object that is as its spec wants it."""
    return without_condition(without_condition(conditions, RECONCILING), STALLED)


def short(message: str) -> str:
    """Return the message, cut to the length that tools get."""
    return message if len(message) <= _MOST_CHARACTERS else f"{message[: _MOST_CHARACTERS - 1]}…"


def _with_either(
    conditions: Conditions, type_: str, other: str, *, reason: str, message: str, now: datetime
) -> Conditions:
    conditions = without_condition(conditions, other)
    return with_condition(conditions, type_, true=True, reason=reason, message=short(message), now=now)
