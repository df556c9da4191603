"""Whether what came in, and what labels say, is fit to be learned from. Pure.

A broken client, or one that sends wrong labels, looks like drift or a loss of accuracy. A model that is trained on that becomes worse, so triggers that judge
inputs or labels start nothing meanwhile. The reasons are in docs/decisions/0072-broken-data-start-no-training.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import DEPLOYMENT, NAMESPACE, REVISION
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import (
    TriggerQuery,
    Unmeasured,
    numbers_of,
)
from tuneloop_operator.decide.model_deployment.retraining.triggers.levels import least_loss, level
from tuneloop_operator.prometheus.query import written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading

MEASURES = frozenset({"accuracy", "drift", "promql"})
"""Types of triggers that measure inputs or labels."""
GUARDED = MEASURES | {"newData"}
"""Those that start nothing on broken data. A time and a person's request are reasons of their own."""
OF_LABELS = frozenset({"accuracy", "newData"})
"""Those of them that look at labels of the last 8 days, and so at texts of the last 8 days."""
LEAST_LABELS = 50
"""Labels of the client with the most wrong ones, and of all others. With fewer nobody is known, or nobody contradicts."""
_MOST_WRONG_OF_A_CLIENT = 0.5
"""Part of all wrong labels that one client may send, if the others disagree with it."""
_MOST_DISAGREEMENT = 0.1
"""How many more of the others' labels may be right than of that client's, beyond doubt."""
_LEAST_OF_USUAL_COVERAGE = 0.25
"""Part of the coverage of all mature days that the newest one must have."""

_OF_DEPLOYMENT = 'namespace="{{namespace}}",deployment="{{deployment}}"'
_OF = _OF_DEPLOYMENT + ',revision="{{revision}}"'


@dataclass(frozen=True, kw_only=True)
class Share:
    """A part of what came in on a day."""

    rule: str
    """Recording rule of the share; it has no number of a day with fewer than 200."""
    words: str
    most: float
    """How much more than 8 days ago there may be, 0 to 1."""
    matcher: str = ""


SHARES = {
    "blank": Share(
        rule="tuneloop:texts:ratio24h",
        matcher=',kind="blank"',
        words="blank texts",
        most=0.1,
    ),
    "garbled": Share(
        rule="tuneloop:texts:ratio24h",
        matcher=',kind="garbled"',
        words="texts in a wrong encoding",
        most=0.1,
    ),
    "repeated": Share(
        rule="tuneloop:texts:ratio24h",
        matcher=',kind="repeated"',
        words="texts that come again and again",
        most=0.5,
    ),
    "invalid": Share(
        rule="tuneloop:invalid_requests:ratio24h",
        words="requests that are no input",
        most=0.2,
    ),
}
COVERAGE = "coverage"
LABELS, RIGHT, CLIENT_LABELS, CLIENT_RIGHT = "labels", "right", "client_labels", "client_right"


@dataclass(frozen=True, kw_only=True)
class DataQuality:
    """What is known of the data now."""

    problem: str = ""
    """Why nothing may be learned from them, as a sentence without a full stop; empty: nothing is known against them."""
    unknown: str = ""
    """Why nothing is known; empty: the numbers are there."""

    @property
    def is_fit(self) -> bool:
        """Whether the numbers are there, and none is against the data."""
        return not self.problem and not self.unknown


FIT = DataQuality()


def queries(about: About, *, of_labels: bool) -> tuple[TriggerQuery, ...]:
    """Return what is to be asked while a trigger that judges data fires, or is about to. Each has a number, also where nothing was counted.

    of_labels: the worst 24 hours of the last 8 days count, else the last 24 hours.
    """
    names = {NAMESPACE: about.namespace, DEPLOYMENT: about.deployment, REVISION: about.revision}
    texts = {
        **{part: _more_than_before(share, of_labels=of_labels) for part, share in SHARES.items()},
        COVERAGE: f"sum(tuneloop:feedback_newest_coverage:ratio{{{_OF}}}) / sum(tuneloop:feedback_coverage:ratio{{{_OF}}}) >= 0 or vector(1)",
        LABELS: f"sum(tuneloop:feedback_labels:all{{{_OF}}}) or vector(0)",
        RIGHT: f"sum(tuneloop:feedback_correct:all{{{_OF}}}) or vector(0)",
        CLIENT_LABELS: f"sum(tuneloop:feedback_worst_client_labels:count{{{_OF}}}) or vector(0)",
        CLIENT_RIGHT: f"sum(tuneloop:feedback_worst_client_correct:count{{{_OF}}}) or vector(0)",
    }
    return tuple(TriggerQuery(trigger="", part=part, query=written(text, names)) for part, text in texts.items())


def judged(readings: Mapping[str, Reading], *, now: datetime) -> DataQuality:
    """Return what the answers say. readings: by part, of the newest answers to `queries`."""
    parts = (*SHARES, COVERAGE, LABELS, RIGHT, CLIENT_LABELS, CLIENT_RIGHT)
    found = numbers_of(readings, parts, now=now)
    if isinstance(found, Unmeasured):
        return DataQuality(unknown=found.reason)
    values = found.values
    problems = [
        f"{share.words} are {values[part]:.0%} of those of a day, beyond their share 8 days ago; at most {share.most:.0%} are allowed"
        for part, share in SHARES.items()
        if values[part] > share.most
    ]
    if values[COVERAGE] < _LEAST_OF_USUAL_COVERAGE:
        problems.append(
            f"labels cover {values[COVERAGE]:.0%} as many predictions of the newest day as of all days; at least {_LEAST_OF_USUAL_COVERAGE:.0%} are needed"
        )
    problems += _of_one_client(values)
    return DataQuality(problem="; ".join(problems))


def _of_one_client(values: Mapping[str, float]) -> list[str]:
    """Return whether one client alone has pulled the accuracy down, against the labels of all others."""
    client = (round(values[CLIENT_RIGHT]), round(values[CLIENT_LABELS]))
    others = (round(values[RIGHT]) - client[0], round(values[LABELS]) - client[1])
    wrong = round(values[LABELS] - values[RIGHT])
    wrong_of_client = client[1] - client[0]
    is_whole = 0 <= client[0] <= client[1] and 0 <= others[0] <= others[1]
    if not is_whole or min(client[1], others[1]) < LEAST_LABELS:
        return []
    if (
        wrong_of_client <= _MOST_WRONG_OF_A_CLIENT * wrong
        or least_loss(others, client, level(None)) <= _MOST_DISAGREEMENT
    ):
        return []
    share, of_client, of_others = wrong_of_client / wrong, client[0] / client[1], others[0] / others[1]
    return [
        f"one client sent {share:.0%} of the labels that say wrong: {of_client:.0%} of its labels say right, of all others {of_others:.0%}"
    ]


def _more_than_before(share: Share, *, of_labels: bool) -> str:
    now = f"{share.rule}{{{_OF}{share.matcher}}}"
    now = f"max(max_over_time({now}[8d]))" if of_labels else f"max({now})"
    # whatever served then: a client does not change with a revision
    before = f"(max({share.rule}{{{_OF_DEPLOYMENT}{share.matcher}}} offset 8d) or vector(0))"
    return f"{now} - {before} or vector(0)"
