"""Rows that cannot be used: counted by reason, and the first of them kept for the report."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuneloop_trainer.data.sources.raw import QUOTES, BadReason
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from tuneloop_api.contract.data_settings import ValidationSettings
    from tuneloop_trainer.data.formats.row_format import Unusable
    from tuneloop_trainer.data.sources.excerpt import Excerpt


_MENDING = {
    BadReason.OPEN_QUOTE: QUOTES,
    BadReason.MALFORMED_CSV: QUOTES,
    BadReason.NOT_A_LABEL: "give each text one label; for lists of labels set taskOptions.problemType: multi-label",
    BadReason.NOT_A_LIST: 'give each text a list of labels, such as ["joy", "love"] or [] (in a cell of CSV: "[""joy"", ""love""]"); for one label a text leave taskOptions.problemType out',
    BadReason.NOT_A_SCORE: "give each text one number with a point, such as 3.5 or -2; for classes leave taskOptions.problemType out",
    BadReason.NOT_MESSAGES: 'give each row a list of messages, such as [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]',
    BadReason.NO_ASSISTANT: 'give each conversation an answer, {"role": "assistant", "content": …}; for texts without answers set data.format: text',
    BadReason.EMPTY_COMPLETION: "give each prompt the text that follows it; for texts alone set data.format: text",
    BadReason.LONG_TARGET: "set taskOptions.maxTargetTokens to at least what the longest target has, or shorten the targets",
    BadReason.MISSING_ANSWERS: 'give each question its answers, and one without an answer empty lists: {"text": [], "answer_start": []}',
    BadReason.NOT_ANSWERS: 'give each question its answers as {"text": ["Denver"], "answer_start": [17]}',
    BadReason.ANSWER_OUTSIDE: "answer_start counts the characters of the context from 0; mend these rows",
    BadReason.OTHER_ANSWER: "answer_start counts characters (Unicode code points, not bytes) of the context from 0; mend these rows",
    BadReason.NO_ANSWER: "leave taskOptions.noAnswer out, so that the model learns to give no answer",
    BadReason.TOO_LONG: "shorten these texts, or write one row a line",
}
_OF_ALL_ROWS = frozenset(
    {
        BadReason.NOT_A_LABEL,
        BadReason.NOT_A_LIST,
        BadReason.NOT_A_SCORE,
        BadReason.NOT_ANSWERS,
        BadReason.NOT_MESSAGES,
        BadReason.NO_ASSISTANT,
        BadReason.EMPTY_COMPLETION,
        BadReason.LONG_TARGET,
    }
)
"""What `_MENDING` says of these is right also where all rows are bad: the job takes them for rows of another kind."""


@dataclass(frozen=True, kw_only=True)
class BadSample:
    """One bad row: whole for the report, masked as a text for messages."""

    place: str
    reason: BadReason
    excerpt: Excerpt

    def __str__(self) -> str:
        shown = f" ({found})" if (found := str(self.excerpt.masked)) else ""
        return f"{self.place}: {self.reason}{shown}"


@dataclass
class BadRows:
    """Bad rows by reason, and the first of them."""

    most_samples: int
    counts: Counter[BadReason] = field(default_factory=Counter)
    samples: list[BadSample] = field(default_factory=list)

    def add(self, problem: Unusable, *, place: str) -> None:
        """Count a row, and keep it if there are few yet."""
        self.counts[problem.reason] += 1
        if len(self.samples) < self.most_samples:
            self.samples.append(BadSample(place=place, reason=problem.reason, excerpt=problem.excerpt))


def refuse_too_many(bad: BadRows, *, rows: int, settings: ValidationSettings) -> None:
    """Raise DataError, with counts and the first samples, if more rows are bad than is tolerated."""
    count = bad.counts.total()
    if count <= settings.max_bad_fraction * rows:
        return
    reasons = ", ".join(f"{number} {reason}" for reason, number in bad.counts.most_common())
    shown = "; ".join(map(str, bad.samples[:3]))
    needed = math.ceil(count / rows * 1e4) / 1e4
    reason = bad.counts.most_common(1)[0][0]
    mending = _MENDING.get(reason, "mend these rows")
    hint = f"{mending}, or set data.validate.maxBadFraction: {needed:g} to leave them out"
    if count == rows and reason in _OF_ALL_ROWS:
        hint = mending
    elif count == rows:
        hint = "see whether the file's format, the source's columns and labelRule, and model.labels fit the rows"
    raise DataError(
        f"{count:,} of {rows:,} rows cannot be used: {reasons}; data.validate.maxBadFraction tolerates "
        f"{settings.max_bad_fraction:g}" + (f". First: {shown}" if shown else ""),
        hint=hint,
    )
