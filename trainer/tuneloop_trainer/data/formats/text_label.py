"""Rows `{"text": …, "label": …}`: a text, and the one class that it belongs to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from tuneloop_trainer.data.formats.labels import class_of, in_order, known_classes, normal_label
from tuneloop_trainer.data.formats.row_format import LeftOut, Parsing, RowFormat, SourceToParse, Unusable
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow, is_unicode
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneloop_api.contract.data_settings import LabelRuleSettings
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Row

_OF_THE_LABEL = frozenset(
    [
        BadReason.NOT_A_NUMBER,
        BadReason.UNKNOWN_CLASS,
        BadReason.NOT_A_LABEL,
        BadReason.LONG_LABEL,
        BadReason.LABEL_NOT_UNICODE,
    ]
)


def parse(row: RawRow, *, rule: LabelRuleSettings | None, known: Mapping[str, str] | None) -> Row | Unusable | LeftOut:
    """Return the row's text and class. `known`: from `known_classes`."""
    text, value = row.cells
    if (problem := problem_of_text(text)) is not None:
        return Unusable(problem, excerpt_of("" if text is None else text))
    label = class_of(value, rule=rule, known=known)
    if label is None:
        return LeftOut.TOO_CLOSE
    if isinstance(label, BadReason):
        return Unusable(label, excerpt_of(repr(value) if label in _OF_THE_LABEL else text))
    return {"text": text, "label": label}


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    known = known_classes(settings.model.labels)
    for source in sources:
        _refuse_other_classes(source, known)
    return Parsing(parsers=[partial(parse, rule=source.settings.label_rule, known=known) for source in sources])


def _refuse_other_classes(source: SourceToParse, known: Mapping[str, str] | None) -> None:
    rule = source.settings.label_rule
    if rule is None or known is None or known.keys() >= set(map(normal_label, rule.names)):
        return
    raise ConfigError(
        f"{source.field}.labelRule.names: {', '.join(rule.names)} are not all in model.labels",
        hint=f"model.labels has {', '.join(sorted(known.values())[:20])}; give the same names in both",
    )


def problem_of_text(text: object) -> BadReason | None:
    """Return why a value is no text that can be read; None if it is one."""
    if text is None or text == "":
        return BadReason.MISSING_TEXT
    if not isinstance(text, str):
        return BadReason.NOT_TEXT
    if not text.strip():
        return BadReason.BLANK_TEXT
    return None if is_unicode(text) else BadReason.NOT_UNICODE


TEXT_LABEL = RowFormat(
    name="text-label",
    columns=("text", "label"),
    schema=pa.schema([("text", pa.string()), ("label", pa.string())]),
    parsing=_parsing,
    texts=lambda row: (row["text"],),
    answer=lambda row: str(row["label"]),
    labels=lambda row: (row["label"],),
    label_names=in_order,
    class_of=lambda label: label,
    fewest_classes=2,
    no_classes="all rows have one label, {label}; at least two are needed",
    one_label=True,
    expansion=3,  # two compressed copies of the text, and its ids twice
)
