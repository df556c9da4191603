"""How far back a query of a user looks. Pure: two numbers share no sample if the second was asked for so much later.

Source: "Time series selectors", "Subquery" and "Float literals and time durations" of Prometheus' documentation of its query language.
"""

from __future__ import annotations

import re

from tuneloop_operator.errors import InvalidQuery
from tuneloop_operator.prometheus.query import code_of

_WINDOW = re.compile(r"\[(?P<range>[^\[\]:]*)(?P<resolution>:[^\[\]:]*)?\]")
_DURATION = re.compile(r"(?:[0-9]+(?:ms|[smhdwy]))+|[0-9]+(?:\.[0-9]+)?")
"""A number without a unit is seconds."""
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdwy])?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0, None: 1.0}


def look_back(text: str) -> float:
    """Return the seconds that a query looks back: its longest window, and each subquery on top; 0 without a window.

    `offset` and `@` are not counted: who asks for another time means it. Raises InvalidQuery.
    """
    code = code_of(text)
    plain, subqueries = [0.0], 0.0
    for window in _WINDOW.finditer(code):
        length = _seconds(window["range"])
        if window["resolution"] is None:
            plain.append(length)
        else:
            subqueries += length
    if "[" in _WINDOW.sub("", code):
        raise InvalidQuery("the query has [ without an end; a window is a duration, for example [5m]")
    return max(plain) + subqueries


def _seconds(text: str) -> float:
    duration = text.strip()
    if not _DURATION.fullmatch(duration) or not (length := _length(duration)):
        raise InvalidQuery(
            f"the query has the window [{text}]; allowed is a duration above 0, for example [5m] or [1h30m]"
        )
    return length


def _length(duration: str) -> float:
    return sum(float(amount) * _SECONDS[unit or None] for amount, unit in _PART.findall(duration))
