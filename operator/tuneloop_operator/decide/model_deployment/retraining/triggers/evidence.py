"""What triggers ask Prometheus, what was answered, and what else a trigger looks at. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_operator.prometheus.answer import CLOCK_DIFFERENCE_SECONDS, Number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_operator.prometheus.answer import Answer
    from tuneloop_operator.prometheus.query import PromQL

STALE = 180.0
"""Seconds. An answer that is older says nothing of now: a query is asked every 30 s."""


@dataclass(frozen=True, kw_only=True)
class About:
    """The deployment that triggers are about."""

    namespace: str
    deployment: str
    revision: str
    """Hash of the stable revision."""
    cutoff: datetime
    """Rows up to this time have been in a run; without a run, when the deployment was made."""
    token: str = ""
    """Value of the annotation `tuneloop.dev/retrain`; empty: there is none."""
    handled: frozenset[str] = frozenset()
    """Keys of verdicts that a run has answered."""


@dataclass(frozen=True, kw_only=True)
class TriggerQuery:
    """A query that is to be asked. All queries of a trigger are asked at one moment."""

    trigger: str
    part: str
    """What the number is to the trigger, a word."""
    query: PromQL


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What Prometheus answered."""

    answer: Answer
    at: datetime
    """When it was asked."""


class Side(StrEnum):
    """On which side of its limit a number is."""

    BEYOND = "Beyond"
    BETWEEN = "Between"
    """Not beyond the limit, and not far enough back for the trigger to be over."""
    CLEAR = "Clear"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A number that a trigger judges."""

    value: float
    threshold: float
    side: Side
    at: datetime
    """When it was asked for, whole seconds."""
    reason: str
    """The numbers, as a sentence without a full stop."""


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """There is no number. It says nothing for the trigger and nothing against."""

    reason: str
    """A sentence without a full stop."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Numbers that were asked for at one moment."""

    values: Mapping[str, float]
    """By part."""
    at: datetime
    """Whole seconds, as the status has them."""


def numbers_of(
    readings: Mapping[str, Reading], parts: tuple[str, ...], *, now: datetime, no_data: str = ""
) -> Numbers | Unmeasured:
    """Return the numbers of these parts. no_data: what an empty result means, in words."""
    found = {part: readings[part] for part in parts if part in readings}
    if len(found) < len(parts):
        return Unmeasured(reason="Prometheus has not answered yet")
    times = {reading.at.replace(microsecond=0) for reading in found.values()}
    if len(times) > 1:
        return Unmeasured(reason="the answers of Prometheus are of different times")
    (at,) = times
    age = (now - at).total_seconds()
    # written so that NaN is refused; an answer of the future is there after the clock went back
    if not -CLOCK_DIFFERENCE_SECONDS <= age <= STALE:
        return Unmeasured(reason=f"the newest answer of Prometheus is {age:.0f} s old")
    values = {}
    for part, reading in found.items():
        if not isinstance(reading.answer, Number):
            is_empty = reading.answer.verdict == "NoData"
            return Unmeasured(reason=no_data if is_empty and no_data else reading.answer.reason)
        values[part] = reading.answer.value
    return Numbers(values=values, at=at)
