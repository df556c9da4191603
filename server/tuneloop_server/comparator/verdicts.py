"""Two replies to one request → what they say about the revisions. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

from tuneloop_server.answers.answer_format import UnreadableAnswer, agree, flips
from tuneloop_server.comparator.likeness import likeness
from tuneloop_server.comparator.replies import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.answers.answer_format import AnswerFormat, Choice
    from tuneloop_server.comparator.replies import Reply


class Verdict(StrEnum):
    """What one pair says. The words are fields of `contract.comparison.PairCounts`."""

    AGREE = "agree"
    DISAGREE = "disagree"
    STABLE_FAILED = "stable_failed"
    CANARY_FAILED = "canary_failed"
    BOTH_FAILED = "both_failed"
    REFUSED = "refused"
    OVERLOADED = "overloaded"
    AWAY = "away"


_ANSWERED = frozenset({Verdict.AGREE, Verdict.DISAGREE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one revision did with the request: it chose, or it failed."""

    choices: Sequence[Choice] = ()
    seconds: float = 0.0
    failure: Failure | None = None

    @property
    def only_choice(self) -> Choice | None:
        """Return the choice for a golden row, which is one text; None if the revision failed."""
        return self.choices[0] if self.choices else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One request, answered by both."""

    verdict: Verdict
    stable: Side
    canary: Side
    flips: Sequence[tuple[str, str]] = ()
    """(class of stable, class of the canary)."""
    similarity: float | None = None
    """How alike two generated answers are, from 0 to 1; None where a revision failed, or where nothing is generated."""

    @property
    def answered_by_both(self) -> bool:
        """Whether there are two answers."""
        return self.verdict in _ANSWERED

    @property
    def is_evidence(self) -> bool:
        """Whether it says anything of the models: not where the request was wrong, or where one had no room for it or was not there."""
        return self.verdict not in {Verdict.REFUSED, Verdict.OVERLOADED, Verdict.AWAY}


def side_of(reply: Reply, answers: AnswerFormat, *, is_golden: bool = False) -> Side:
    """Read a reply. A body that is no answer of the task is a failure of the revision.

    is_golden: the request is ours, for one text and for probabilities. A client may ask for several texts, and for logits.
    """
    if reply.failure is not None:
        return Side(failure=reply.failure)
    try:
        choices = answers.read(json.loads(reply.body, parse_constant=_no_number))
    except (ValueError, RecursionError):  # UnreadableAnswer is a ValueError, and so is a text that is not UTF-8
        return Side(failure=Failure.UNREADABLE)
    if is_golden and not (len(choices) == 1 and _is_share(choices[0].confidence)):
        return Side(failure=Failure.UNREADABLE)
    return Side(choices=choices, seconds=reply.seconds)


def compared(stable: Side, canary: Side, *, tolerance: float = 0.0) -> Comparison:
    """Return what the two sides say together. tolerance: `AnswerFormat.tolerance`."""
    verdict = _verdict(stable, canary, tolerance=tolerance)
    differences = tuple(flips(stable.choices, canary.choices)) if verdict is Verdict.DISAGREE else ()
    similarity = likeness(stable.choices, canary.choices) if verdict in _ANSWERED else None
    return Comparison(verdict=verdict, stable=stable, canary=canary, flips=differences, similarity=similarity)


def _verdict(stable: Side, canary: Side, *, tolerance: float) -> Verdict:
    failures = stable.failure, canary.failure
    if failures == (None, None):
        return Verdict.AGREE if agree(stable.choices, canary.choices, tolerance=tolerance) else Verdict.DISAGREE
    if Failure.AWAY in failures:
        return Verdict.AWAY
    if Failure.OVERLOADED in failures:
        return Verdict.OVERLOADED
    if failures == (Failure.REFUSED, Failure.REFUSED):
        return Verdict.REFUSED
    if None not in failures:
        return Verdict.BOTH_FAILED
    return Verdict.CANARY_FAILED if stable.failure is None else Verdict.STABLE_FAILED


def _is_share(confidence: float | None) -> bool:
    return confidence is None or 0 <= confidence <= 1


def _no_number(_: str) -> NoReturn:
    """NaN and the infinities are no JSON."""
    raise UnreadableAnswer("the answer holds NaN or an infinity")
