"""What the query of a gate may be, and when two of its numbers share nothing. Pure; acceptance and decisions agree by it."""

from __future__ import annotations

from enum import StrEnum

from tuneloop_operator.errors import InvalidQuery
from tuneloop_operator.prometheus.look_back import look_back
from tuneloop_operator.prometheus.query import bracket_problem, code_of, variables_of, written

IN_A_ROW = 3
"""Numbers on one side of the margin that decide. One burst is in two neighbouring windows at most; three that share no sample show that it lasts."""
NAMESPACE, DEPLOYMENT, REVISION = "namespace", "deployment", "revision"
"""Variables of a query."""
PREVIOUS = "previous"
"""The revision before the promoted one, in queries of our own."""
LEAST_SPACING = 60.0
"""Seconds between two numbers that count, of a query without a window. Prometheus scrapes twice in this time, or oftener."""


class Compare(StrEnum):
    """What a gate holds against its margin."""

    STABLE = "Stable"
    """The number of the canary minus that of stable."""
    ABSOLUTE = "Absolute"
    """The number of the canary."""


def spacing(query: str) -> float:
    """Return the seconds between two numbers that count: they share no sample. Raises InvalidQuery."""
    return max(look_back(query), LEAST_SPACING)


def least_seconds(query: str) -> float:
    """Return how long a step lasts at least until the query has decided. Raises InvalidQuery."""
    return look_back(query) + (IN_A_ROW - 1) * spacing(query)


def query_problem(text: str, compare: Compare = Compare.ABSOLUTE) -> str:
    """Return why a query cannot be a gate's, as a sentence without a full stop; empty if it can."""
    names = {NAMESPACE: "namespace", DEPLOYMENT: "deployment", REVISION: "revision"}
    try:
        written(text, names)
        look_back(text)
    except InvalidQuery as error:
        return str(error)
    if not code_of(text).strip():
        return 'the query is empty; for example sum(up{revision="{{revision}}"})'
    if problem := bracket_problem(text):
        return problem
    if compare is Compare.STABLE and REVISION not in variables_of(text):
        return (
            "the query is the same for both revisions, so their difference is always 0: it must name {{revision}}, "
            'for example {revision="{{revision}}"}; or compare: Absolute'
        )
    return ""
