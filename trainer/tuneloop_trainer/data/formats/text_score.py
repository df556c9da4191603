"""Rows `{"text": …, "label": number}`: a text, and the number that is to be predicted.

JSON lines, Parquet and saved data sets hold numbers, or texts of numbers; a cell of CSV or TSV holds the number with a point.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pyarrow as pa

from tuneloop_trainer.data.formats.row_format import Parsing, RowFormat, SourceToParse, Unusable
from tuneloop_trainer.data.formats.text_label import problem_of_text
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Row

NAME_OF_NUMBER = "LABEL_0"
"""The only name in `labels` of a model that answers a number: what transformers calls its output."""
_LARGEST = 1e30
"""The model answers in float32, and its square must be a number, too."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def parse(row: RawRow) -> Row | Unusable:
    """Return the row's text and its number."""
    text, value = row.cells
    if (problem := problem_of_text(text)) is not None:
        return Unusable(problem, excerpt_of("" if text is None else text))
    if value is None or (isinstance(value, str) and not value.strip()):
        return Unusable(BadReason.MISSING_LABEL, excerpt_of(text))
    number = number_of(value)
    if number is None:
        return Unusable(BadReason.NOT_A_SCORE, excerpt_of(repr(value)))
    return {"text": text, "label": number}


def number_of(value: object) -> float | None:
    """Return a finite number of at most 1e30, or the number that a text spells with a point; None for all else, booleans too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= _LARGEST else None


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    if settings.model.labels is not None:
        raise ConfigError("model.labels: a number has no classes to name; leave labels out")
    for source in sources:
        if source.settings.label_rule is not None:
            raise ConfigError(
                f"{source.field}.labelRule: it makes a class of the number that is to be learned; leave it out"
            )
    return Parsing(parsers=[parse for _ in sources])


TEXT_SCORE = RowFormat(
    name="text-score",
    columns=("text", "label"),
    schema=pa.schema([("text", pa.string()), ("label", pa.float64())]),
    parsing=_parsing,
    texts=lambda row: (row["text"],),
    answer=lambda row: repr(row["label"]),
    labels=lambda _: (NAME_OF_NUMBER,),
    label_names=list,
    class_of=lambda _: None,
    fewest_classes=0,
    no_classes="",  # no number of classes is too few
    one_label=False,
    expansion=3,  # two compressed copies of the text, and its ids twice
)
