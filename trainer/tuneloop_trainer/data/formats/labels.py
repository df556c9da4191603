"""Turns the value of a label column into the name of a class."""

from __future__ import annotations

import math
import statistics
import unicodedata
from typing import TYPE_CHECKING

from tuneloop_trainer.data.sources.raw import BadReason, is_unicode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tuneloop_api.contract.data_settings import LabelRuleSettings

_MANY = 20
_INFINITE = (math.inf, -math.inf)
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
"""Soft hyphen, zero-width space, word joiner, byte order mark. The joiners of scripts and emoji stay: they change how a text looks."""
_TWINS = str.maketrans(
    "АВЕЅІЈКМНОРСТХУаеѕіјорсхуΑΒΕΖΗΙΚΜΝΟΡΤΥΧο‘’ʼ′“”″‐‑‒–—−",
    "ABESIJKMHOPCTXYaesijopcxyABEZHIKMNOPTYXo" + "'" * 4 + '"' * 3 + "-" * 6,
)
"""Cyrillic and Greek letters, quotes and dashes by the ASCII characters that they look like; a part of Unicode's confusables.txt (UTS 39)."""
_VARIATION_SELECTORS = dict.fromkeys(range(0xFE00, 0xFE10))
LONGEST_LABEL = 128
"""The limit of `model.labels`. A longer value is probably a text in the wrong column."""


def class_of(
    value: object, *, rule: LabelRuleSettings | None, known: Mapping[str, str] | None
) -> str | BadReason | None:
    """Return the class, or why there is none; None for a row that `labelRule.dropWithin` leaves out.

    `known`: from `known_classes`.
    """
    found = _label_as_text(value) if rule is None else _label_by_rule(value, rule)
    if isinstance(found, BadReason) or found is None:
        return found
    return found if known is None else known.get(normal_label(found), BadReason.UNKNOWN_CLASS)


def known_classes(labels: Iterable[str] | None) -> dict[str, str] | None:
    """Return the classes of `model.labels` by their normal form; None where any class is allowed."""
    return None if labels is None else {normal_label(label): label for label in labels}


def normal_label(label: str) -> str:
    """Return a label in composed Unicode form (NFC), without invisible characters and outer white space. A plain label stays as it is."""
    return unicodedata.normalize("NFC", label.translate(_INVISIBLE)).strip()


def alike(labels: Iterable[str]) -> list[list[str]]:
    """Return the groups of distinct labels that a person may take for one: case, white space, Unicode form, letters of other scripts, and how a number is written aside."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(_look(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _look(label: str) -> str:
    folded = unicodedata.normalize("NFKC", label.translate(_TWINS | _VARIATION_SELECTORS)).casefold()
    visible = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")
    text = " ".join(visible.split())
    number = _number(text) if "_" not in text else None  # Python takes 1_0 for 10
    return text if number is None else repr(number)


def median_of_numbers(labels: Collection[str]) -> float | None:
    """Return the median of labels that are measured numbers rather than names; None if they are names.

    They are measured if there are many of them, all are numbers, and some have a fraction.
    """
    numbers = [number for label in labels if "_" not in label and (number := _number(label)) is not None]
    if len(numbers) < max(len(labels), _MANY) or all(number.is_integer() for number in numbers):
        return None
    return statistics.median(numbers)


def in_order(classes: Iterable[str]) -> list[str]:
    """Return distinct classes sorted: by value if all are whole numbers, so that 10 comes after 9, else by their characters."""
    distinct = set(classes)
    try:
        return sorted(distinct, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(distinct)


def _label_as_text(value: object) -> str | BadReason:
    """Return a label as text: booleans as true and false, whole numbers without a point, strings in normal form."""
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
        return normal_label(value)
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
