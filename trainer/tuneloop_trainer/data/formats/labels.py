"""Turns the value of a label column into the name of a class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuneloop_trainer.data.sources.raw import BadReason, is_unicode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_api.contract.settings import LabelRuleSettings

_INFINITE = (math.inf, -math.inf)
LONGEST_LABEL = 128
"""As in `model.labels`: whatever is longer is a text in the wrong column."""


def class_of(value: object, *, rule: LabelRuleSettings | None, known: frozenset[str] | None) -> str | BadReason | None:
    """Return the class, or why there is none; None for a row that `labelRule.dropWithin` leaves out.

    `known`: the classes of `model.labels`, None where any class is allowed.
    """
    found = _label_as_text(value) if rule is None else _label_by_rule(value, rule)
    if isinstance(found, BadReason) or found is None:
        return found
    return found if known is None or found in known else BadReason.UNKNOWN_CLASS


def in_order(classes: Iterable[str]) -> list[str]:
    """Return distinct classes sorted: by value if all are whole numbers, so that 10 comes after 9, else by their characters."""
    distinct = set(classes)
    try:
        return sorted(distinct, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(distinct)


def _label_as_text(value: object) -> str | BadReason:
    """Return a label as text: booleans as true and false, whole numbers without a point, strings without outer white space."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return BadReason.MISSING_LABEL
    if not isinstance(value, str | int | float) or value in _INFINITE:
        return BadReason.NOT_A_LABEL
    if len(label := _text_of(value)) > LONGEST_LABEL:
        return BadReason.LONG_LABEL
    if not is_unicode(label):
        return BadReason.LABEL_NOT_UNICODE
    return label or BadReason.MISSING_LABEL


def _text_of(value: str | float) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _label_by_rule(value: object, rule: LabelRuleSettings) -> str | BadReason | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return BadReason.MISSING_LABEL
    number = _number(value)
    if number is None:
        return BadReason.NOT_A_NUMBER
    if rule.drop_within is not None and abs(number - rule.above) < rule.drop_within:
        return None
    return rule.names[1] if number > rule.above else rule.names[0]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
