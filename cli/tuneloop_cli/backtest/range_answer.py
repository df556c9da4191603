"""What an answer of Prometheus to a range query means: at each time one number, or why there is none. Pure.

The rules are those of an instant query (`tuneloop_operator.prometheus.answer`): two series, NaN and histograms are errors, and nothing is no data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_operator.prometheus.answer import Number, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_operator.prometheus.answer import Answer

_NO_DATA = Unanswered(verdict="NoData", reason="the query has an empty result")


class UnreadableHistoryError(Exception):
    """Prometheus did not answer a range query with a matrix. The message is a sentence."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Answers by time, in whole Unix seconds. What is not there is no data."""

    answers: Mapping[int, Answer]

    def at(self, time: int) -> Answer:
        """Return the answer of this time."""
        return self.answers.get(time, _NO_DATA)


def history_of(document: Any) -> dict[int, Answer]:
    """Return the answers of one document. Raises UnreadableHistoryError."""
    found: dict[int, Answer] = {}
    for series in _matrix(document):
        for time in series.get("histograms") or ():
            found[int(time[0])] = _error("the series has a native histogram, and one number is needed")
        for time, text in series.get("values") or ():
            found[int(time)] = _number(float(text), time) if int(time) not in found else _error("the result has more than one series, and one is needed: for example sum(…)")  # fmt: skip
    return found


def labels_by_time(document: Any, label: str) -> Iterator[tuple[int, str]]:
    """Yield the time and the value of a label for each sample that is not 0. Raises UnreadableHistoryError."""
    for series in _matrix(document):
        for time, text in series.get("values") or ():
            if float(text):
                yield int(time), str(series.get("metric", {}).get(label, ""))


def _matrix(document: Any) -> list[dict[str, Any]]:
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or document.get("status") != "success" or data.get("resultType") != "matrix":
        words = " ".join(str(document.get(key, "")) for key in ("errorType", "error")) if isinstance(document, dict) else ""  # fmt: skip
        raise UnreadableHistoryError(words.strip() or "the answer is no matrix: is it the address of Prometheus?")
    result: list[dict[str, Any]] = data.get("result") or []
    return result


def _number(value: float, time: float) -> Answer:
    return (
        Number(value=value, at=time)
        if math.isfinite(value)
        else _error(f"the value is {value}, which is no finite number")
    )


def _error(reason: str) -> Unanswered:
    return Unanswered(verdict="Error", reason=reason)
