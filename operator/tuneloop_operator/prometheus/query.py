"""Texts of PromQL. Pure: the value of a label cannot leave its matcher, whatever it holds.

The door takes `PromQL` only, and only this module makes it: from names and matchers of ours, or from a whole query that a user wrote. Such a query
names `{{namespace}}`, `{{deployment}}` or `{{revision}}` inside its strings. Each is replaced by the name, escaped for that place.

Sources: "String literals" and "Time series selectors" of Prometheus' documentation of its query language; RE2's syntax.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NewType

from tuneloop_operator.errors import InvalidQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

PromQL = NewType("PromQL", str)
"""A query that may be sent."""
Matcher = NewType("Matcher", str)
"""Which values of a label a selector takes, such as `code="200"`."""

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HAS_MEANING = re.compile(r"[\\.+*?()|\[\]{}^$]")
"""Characters that do not stand for themselves in RE2."""
_VARIABLE = re.compile(r"\{\{([^{}]*)\}\}")
_PARTNERS = {"(": ")", "[": "]", "{": "}"}
_PART = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
    |(?P<blank>\s+)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
    |(?P<quote>["'`])
    |(?P<braces>\{\{)
    |(?P<expression>=~|!~)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
"""One part of a query. A quote that begins no string has no partner; two braces have no meaning outside of strings."""


def equals(label: str, value: str) -> Matcher:
    """Return the matcher of exactly this value. Raises InvalidQuery."""
    return Matcher(f"{_name(_LABEL, label)}={_string(value)}")


def any_of(label: str, *values: str) -> Matcher:
    """Return the matcher of these values. Raises InvalidQuery."""
    return Matcher(f"{_name(_LABEL, label)}=~{_string(_alternatives(label, values))}")


def none_of(label: str, *values: str) -> Matcher:
    """Return the matcher of all other values. Raises InvalidQuery."""
    return Matcher(f"{_name(_LABEL, label)}!~{_string(_alternatives(label, values))}")


def total(metric: str, *matchers: Matcher) -> PromQL:
    """Return the query for the sum over all series of a gauge. Raises InvalidQuery."""
    return PromQL(f"sum({_selector(metric, matchers)})")


def increase(metric: str, *matchers: Matcher, seconds: int) -> PromQL:
    """Return the query for what the series of a counter have grown by in the last `seconds`. Raises InvalidQuery.

    Prometheus extends the growth to the ends of the window, so the number is no whole number. A series that begins inside the window counts from its
    first sample, not from 0.
    """
    return PromQL(f"sum({_increase(metric, matchers, seconds=seconds)})")


def increase_by(labels: tuple[str, ...], metric: str, *matchers: Matcher, seconds: int) -> PromQL:
    """Return the query for the same, as a vector with one series for each combination of these labels. Raises InvalidQuery."""
    names = ",".join(_name(_LABEL, label) for label in labels)
    return PromQL(f"sum by ({names}) ({_increase(metric, matchers, seconds=seconds)})")


def written(text: str, variables: Mapping[str, str]) -> PromQL:
    """Return a query that a user wrote, with its variables replaced.

    A variable stands inside a string. It is escaped for the string's kind of quotes, and after `=~` and `!~` each of its characters stands for itself.
    Raises InvalidQuery.
    """
    _require_utf8(text, what="the query")
    parts = []
    is_expression = False
    for part in _PART.finditer(text):
        if part.lastgroup == "quote":
            raise InvalidQuery(f'the query has a string without an end: {part[0]}; for example {{revision="…"}}')
        if part.lastgroup == "braces":
            raise InvalidQuery(
                'the query has {{ outside of a string; a variable stands in quotes: {revision="{{revision}}"}'
            )
        is_string = part.lastgroup == "string"
        parts.append(_filled(part[0], variables, is_expression=is_expression) if is_string else part[0])
        if part.lastgroup not in {"comment", "blank"}:
            is_expression = part.lastgroup == "expression"
    return PromQL("".join(parts))


def code_of(text: str) -> str:
    """Return a query without its comments and without what stands in its strings."""
    parts = ((part.lastgroup, part[0]) for part in _PART.finditer(text))
    return "".join('""' if kind == "string" else text for kind, text in parts if kind != "comment")


def bracket_problem(text: str) -> str:
    """Return which bracket of a query has no partner, as a sentence; empty if each has one. The language itself is Prometheus' matter."""
    expected: list[str] = []
    for character in code_of(text):
        if character in _PARTNERS:
            expected.append(_PARTNERS[character])
        elif character in _PARTNERS.values() and (not expected or expected.pop() != character):
            return f"the query has a {character} without its beginning, or a bracket before it without an end"
    return f"the query has a bracket without an end: a {expected[-1]} is missing" if expected else ""


def variables_of(text: str) -> frozenset[str]:
    """Return the names of the variables in the strings of a query."""
    strings = (part[0] for part in _PART.finditer(text) if part.lastgroup == "string")
    return frozenset(found[1].strip() for string in strings for found in _VARIABLE.finditer(string))


def _filled(string: str, variables: Mapping[str, str], *, is_expression: bool) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name not in variables:
            known = ", ".join(f"{{{{{known}}}}}" for known in variables)
            raise InvalidQuery(f"the query names {{{{{name}}}}}; allowed are {known}")
        text = variables[name]
        return _inside(string[0], _literal(text) if is_expression else text)

    return _VARIABLE.sub(value, string)


def _inside(quote: str, text: str) -> str:
    """Return the text as it is written inside a string of this quote. Raises InvalidQuery."""
    if quote == "`":
        if "`" in text:
            raise InvalidQuery(f"{text!r} cannot stand in `…`, which has no escapes: use double quotes")
        return text
    escaped = _string(text)[1:-1]
    return escaped if quote == '"' else escaped.replace('\\"', '"').replace("'", "\\'")


def _increase(metric: str, matchers: tuple[Matcher, ...], *, seconds: int) -> str:
    if seconds < 1:
        raise InvalidQuery(f"the window of {metric} is {seconds} s; allowed is 1 s or more, for example 300 s")
    return f"increase({_selector(metric, matchers)}[{seconds}s])"


def _selector(metric: str, matchers: tuple[Matcher, ...]) -> str:
    return f"{_name(_METRIC, metric)}{{{','.join(matchers)}}}"


def _string(text: str) -> str:
    """Return a string of PromQL. All that JSON escapes is written the same way there; U+FFFD is an error to Prometheus unless it is escaped."""
    _require_utf8(text, what=f"the label value {text[:50]!r}")
    return json.dumps(text, ensure_ascii=False).replace("\ufffd", "\\ufffd")


def _alternatives(label: str, values: tuple[str, ...]) -> str:
    """Return the expression of which each value is one alternative. Prometheus anchors it at both ends."""
    if not values:  # an empty expression would match the series without this label
        raise InvalidQuery(f"the matcher of {label} has no value; allowed is one or more")
    return "|".join(map(_literal, values))


def _literal(text: str) -> str:
    return _HAS_MEANING.sub(r"\\\g<0>", text)


def _name(pattern: re.Pattern[str], name: str) -> str:
    if not pattern.fullmatch(name):
        raise InvalidQuery(f"{name!r} is no name of a metric or label; allowed is {pattern.pattern}")
    return name


def _require_utf8(text: str, *, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidQuery(f"{what} has half of a surrogate pair, which no UTF-8 holds") from None
