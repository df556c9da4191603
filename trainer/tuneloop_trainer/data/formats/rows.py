"""From raw rows to usable ones; what cannot be used is counted and sampled."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from tuneloop_trainer.data.formats.labels import class_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow, excerpt_of, is_unicode
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import LabelRuleSettings, ValidationSettings


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be used."""

    text: str
    label: str
    group: str | None


class LeftOut(Enum):
    """A row that is fine, and not wanted."""

    TOO_CLOSE = "closer to labelRule.above than dropWithin"


@dataclass(frozen=True, kw_only=True)
class RowRules:
    """What a row of one source must be."""

    label_rule: LabelRuleSettings | None
    known: frozenset[str] | None
    grouped: bool


@dataclass(frozen=True, kw_only=True)
class BadSample:
    """One bad row, for the report."""

    place: str
    reason: BadReason
    excerpt: str

    def __str__(self) -> str:
        shown = f" ({self.excerpt})" if self.excerpt else ""
        return f"{self.place}: {self.reason}{shown}"


@dataclass
class BadRows:
    """Bad rows by reason, and the first of them."""

    most_samples: int
    counts: Counter[BadReason] = field(default_factory=Counter)
    samples: list[BadSample] = field(default_factory=list)

    def add(self, row: RawRow, reason: BadReason, *, place: str) -> None:
        """Count a row, and keep it if there are few yet."""
        self.counts[reason] += 1
        if len(self.samples) < self.most_samples:
            self.samples.append(BadSample(place=place, reason=reason, excerpt=row.excerpt or _excerpt(row, reason)))


def usable(row: RawRow, rules: RowRules) -> Row | BadReason | LeftOut:
    """Return the row's text, class and group, or why there is none."""
    if row.problem is not None:
        return row.problem
    if isinstance(text := _text(row.text), BadReason):
        return text
    label = class_of(row.label, rule=rules.label_rule, known=rules.known)
    if label is None:
        return LeftOut.TOO_CLOSE
    if isinstance(label, BadReason):
        return label
    group = _group(row.group) if rules.grouped else None
    return BadReason.MISSING_GROUP if rules.grouped and group is None else Row(text, label, group)


def refuse_too_many(bad: BadRows, *, rows: int, settings: ValidationSettings) -> None:
    """Raise DataError, with counts and the first samples, if more rows are bad than is tolerated."""
    count = bad.counts.total()
    if count <= settings.max_bad_fraction * rows:
        return
    reasons = ", ".join(f"{number} {reason}" for reason, number in bad.counts.most_common())
    shown = "; ".join(map(str, bad.samples[:3]))
    enough = math.ceil(count / rows * 1e4) / 1e4
    hint = f"mend these rows, or set data.validate.maxBadFraction: {enough:g} to leave them out"
    if count == rows:
        hint = "see whether the file's format, the source's columns and labelRule, and model.labels fit the rows"
    raise DataError(
        f"{count:,} of {rows:,} rows cannot be used: {reasons}; data.validate.maxBadFraction tolerates "
        f"{settings.max_bad_fraction:g}" + (f". First: {shown}" if shown else ""),
        hint=hint,
    )


def _text(value: object) -> str | BadReason:
    if value is None or value == "":
        return BadReason.MISSING_TEXT
    if not isinstance(value, str):
        return BadReason.NOT_TEXT
    if not value.strip():
        return BadReason.BLANK_TEXT
    return value if is_unicode(value) else BadReason.NOT_UNICODE


def _group(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _excerpt(row: RawRow, reason: BadReason) -> str:
    of_label = {
        BadReason.NOT_A_NUMBER,
        BadReason.UNKNOWN_CLASS,
        BadReason.NOT_A_LABEL,
        BadReason.LONG_LABEL,
        BadReason.LABEL_NOT_UNICODE,
    }
    return excerpt_of(repr(row.label) if reason in of_label else row.text if row.text is not None else "")
