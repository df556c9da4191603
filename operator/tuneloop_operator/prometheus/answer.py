"""What an answer of Prometheus means: one number, or the numbers of some series, or why there are none. Pure.

Nothing that is not clearly a finite number, evaluated now, is ever a number: a gate must not pass because a page of a proxy was read as 0.
Format: "Expression queries" and "Format overview" of Prometheus' documentation of its HTTP API.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BYTES = 2**20
"""Of a body. One number takes a few hundred."""
MOST_SERIES = 1024
"""Of a vector. A body of `MOST_BYTES` has room for a few thousand."""
CLOCK_DIFFERENCE_SECONDS = 60.0
"""Prometheus evaluates a query at its own time. A time that differs by more is a wrong clock, or an answer from a cache."""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_CONTENT_TYPE = re.compile(r"application/json(\s*;.*)?", re.IGNORECASE | re.DOTALL)
_UNPRINTABLE = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_QUOTE = 200


@dataclass(frozen=True, kw_only=True)
class Number:
    """The one number that a query has as its result; finite."""

    value: float
    at: float
    """When Prometheus evaluated the query, in Unix seconds by its clock."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series of a vector."""

    labels: Mapping[str, str]
    value: float
    """Finite."""


@dataclass(frozen=True, kw_only=True)
class Vector:
    """All series that a query has as its result: at least one, at most `MOST_SERIES`, no labels twice."""

    series: tuple[Series, ...]
    at: float
    """As in `Number`; the same for all."""


@dataclass(frozen=True, kw_only=True)
class Unanswered:
    """There is no number."""

    verdict: Literal["NoData", "Error"]
    """NoData: the query was answered, and its result is empty. Error: all else. The words are those of `Verdict` of a gate."""
    reason: str
    """One sentence, without a full stop."""


Answer: TypeAlias = Number | Unanswered
VectorAnswer: TypeAlias = Vector | Unanswered


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An HTTP response, as it came."""

    status: int
    content_type: str
    body: bytes
    """At most `MOST_BYTES` + 1 bytes: one more than allowed shows that there was more."""


_EMPTY = Unanswered(verdict="NoData", reason="the query has an empty result")


class _Unusable(Exception):  # noqa: N818  (named as the state that it reports)
    """The reply is no number. The message is the reason."""


def answer_of(reply: Reply, *, asked: float, answered: float) -> Answer:
    """Return what a reply means. asked, answered: when the request began and the reply was there, in Unix seconds by our clock."""
    try:
        sample = _sample(_document(reply))
        return _EMPTY if sample is None else _number(sample, asked=asked, answered=answered)
    except _Unusable as unusable:
        return Unanswered(verdict="Error", reason=str(unusable))


def vector_of(reply: Reply, *, asked: float, answered: float) -> VectorAnswer:
    """Return the series that a reply holds. One that is no number makes the whole reply an error. asked, answered: as in `answer_of`."""
    try:
        found = _all_series(_document(reply))
        numbers = [(_labels(series), _number(_value(series), asked=asked, answered=answered)) for series in found]
        return _vector(numbers) if numbers else _EMPTY
    except _Unusable as unusable:
        return Unanswered(verdict="Error", reason=str(unusable))


def _all_series(document: dict[str, Any]) -> list[Any]:
    kind, result = _result(document)
    if kind != "vector":
        raise _Unusable(f"the result is {_quoted(kind) or 'nothing'}; allowed is a vector")
    found = _listed(result)
    if len(found) > MOST_SERIES:
        raise _Unusable(f"the result has {len(found)} series; allowed are {MOST_SERIES}")
    return found


def _vector(numbers: list[tuple[dict[str, str], Number]]) -> Vector:
    if len({number.at for _, number in numbers}) > 1:
        raise _Unusable("the series are of different times")
    if len({frozenset(labels.items()) for labels, _ in numbers}) < len(numbers):
        raise _Unusable("two series have the same labels")
    series = tuple(Series(labels=labels, value=number.value) for labels, number in numbers)
    return Vector(series=series, at=numbers[0][1].at)


def _document(reply: Reply) -> dict[str, Any]:
    """Return the document of a successful answer without warnings. Raises _Unusable."""
    if len(reply.body) > MOST_BYTES:
        raise _Unusable(f"the answer has more than {MOST_BYTES} bytes")
    if not _CONTENT_TYPE.fullmatch(reply.content_type):
        got = f"HTTP {reply.status} with content type {_quoted(reply.content_type) or 'unset'}"
        raise _Unusable(f"{got} in place of application/json: is it the address of Prometheus?")
    document = _parsed(reply.body)
    if not isinstance(document, dict):
        raise _Unusable(f"HTTP {reply.status} with JSON that is no object")
    if reply.status != 200 or document.get("status") != "success":
        raise _Unusable(f"HTTP {reply.status}, {_complaint(document)}")
    if document.get("warnings"):
        raise _Unusable(f"the result may be wrong or in part: {_quoted(document['warnings'])}")
    if document.get("isPartial"):  # VictoriaMetrics' word
        raise _Unusable("the result is only a part: a store did not answer")
    return document


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant, parse_int=float)
    except UnicodeDecodeError:
        raise _Unusable("the answer is not UTF-8") from None
    except RecursionError:
        raise _Unusable("the answer is JSON that is nested too deep") from None
    except ValueError:
        raise _Unusable("the answer is no JSON") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unusable("the answer names a key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise _Unusable(f"the answer is no JSON: {name}")


def _complaint(document: dict[str, Any]) -> str:
    words = [_quoted(document[key]) for key in ("errorType", "error") if document.get(key)]
    return ": ".join(words) or "without success, and without a reason"


def _sample(document: dict[str, Any]) -> Any:
    """Return the only sample of the result, None if it is empty. Raises _Unusable."""
    kind, result = _result(document)
    if kind == "scalar":
        return result or "no value"
    if kind != "vector":
        raise _Unusable(
            f"the result is {_quoted(kind) or 'nothing'}; allowed is one number: a vector of one series, or a scalar"
        )
    series = _listed(result)
    if len(series) > 1:
        raise _Unusable(f"the result has {len(series)} series, and one is needed: for example sum(…)")
    return _value(series[0]) if series else None


def _result(document: dict[str, Any]) -> tuple[Any, Any]:
    """Return type and content of the result; None for what is not there."""
    data = document.get("data")
    return (data.get("resultType"), data.get("result")) if isinstance(data, dict) else (None, None)


def _listed(result: Any) -> list[Any]:
    if not isinstance(result, list):
        raise _Unusable("the result is a vector that is no list")
    return result


def _labels(series: Any) -> dict[str, str]:
    found = series.get("metric") if isinstance(series, dict) else None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _Unusable("the labels of a series are no texts")
    return found


def _value(series: Any) -> Any:
    """Return the sample of a series."""
    if not isinstance(series, dict) or series.get("value") is None or "histogram" in series:
        raise _Unusable(
            "the series has no single value, as a native histogram has none: for example histogram_quantile(0.95, …)"
        )
    return series["value"]


def _number(sample: Any, *, asked: float, answered: float) -> Number:
    match sample:
        case [float() as at, str() as text]:
            pass
        case _:
            raise _Unusable("the value is no pair of a time and a text")
    # float() alone would also take `1_000`, blanks, and digits of other scripts
    if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
        raise _Unusable(f"the value is {_quoted(text)}, which is no finite number")
    # written so that NaN is refused
    if not asked - CLOCK_DIFFERENCE_SECONDS <= at <= answered + CLOCK_DIFFERENCE_SECONDS:
        raise _Unusable(_of_another_time(at - answered))
    return Number(value=value, at=at)


def _of_another_time(seconds: float) -> str:
    side = "behind" if seconds < 0 else "ahead of"
    causes = "a clock is wrong, or the answer is an old one from a cache"
    return f"the value is of a time {abs(seconds):.0f} s {side} this clock: {causes}"


def _quoted(value: Any) -> str:
    """Return a foreign text on one line, and not long."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"
