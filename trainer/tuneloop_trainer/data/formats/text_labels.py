"""Rows `{"text": …, "label": […]}`: a text, and the labels that belong to it; an empty list says that none does.

Parquet, saved data sets and JSON lines hold lists; a cell of CSV or TSV, and a label of feedback, holds the list as JSON: `["joy", "love"]`.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from tuneloop_trainer.data.formats.labels import class_of, in_order, known_classes
from tuneloop_trainer.data.formats.row_format import Parsing, RowFormat, SourceToParse, Unusable
from tuneloop_trainer.data.formats.text_label import problem_of_text
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Row


def parse(row: RawRow, *, known: Mapping[str, str] | None) -> Row | Unusable:
    """Return the row's text and its labels, sorted. `known`: from `known_classes`."""
    text, value = row.cells
    if (problem := problem_of_text(text)) is not None:
        return Unusable(problem, excerpt_of("" if text is None else text))
    labels = _labels_of(value, known=known)
    if isinstance(labels, BadReason):
        return Unusable(labels, excerpt_of(repr(value)))
    return {"text": text, "label": labels}


def _labels_of(value: object, *, known: Mapping[str, str] | None) -> list[str] | BadReason:
    if value is None or value == "":
        return BadReason.MISSING_LABEL
    values = _list_in(value) if isinstance(value, str) else value
    if not isinstance(values, list):
        return BadReason.NOT_A_LIST
    labels: list[str] = []
    for item in values:
        label = class_of(item, rule=None, known=known)
        if label is None or label is BadReason.MISSING_LABEL:
            return BadReason.EMPTY_LABEL
        if label is BadReason.NOT_A_LABEL:  # what to do about that is said to jobs of one label a text
            return BadReason.NOT_A_LIST
        if isinstance(label, BadReason):
            return label
        labels.append(label)
    return sorted(labels) if len(set(labels)) == len(labels) else BadReason.LABEL_TWICE


def _list_in(text: str) -> object:
    """Return the JSON in a text, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    for source in sources:
        if source.settings.label_rule is not None:
            raise ConfigError(f"{source.field}.labelRule: a list of labels is no number; leave labelRule out")
    known = known_classes(settings.model.labels)
    return Parsing(parsers=[partial(parse, known=known) for _ in sources])


TEXT_LABELS = RowFormat(
    name="text-labels",
    columns=("text", "label"),
    schema=pa.schema([("text", pa.string()), ("label", pa.list_(pa.string()))]),
    parsing=_parsing,
    texts=lambda row: (row["text"],),
    answer=lambda row: json.dumps(row["label"]),
    labels=lambda row: tuple(row["label"]),
    label_names=in_order,
    class_of=lambda label: label,
    fewest_classes=2,
    no_classes="all rows have one label, {label}, or none; at least two labels are needed. For one label that a text has or has not, use problemType: single-label with two classes",
    one_label=False,
    expansion=3,  # two compressed copies of the text, and its ids twice
)
