"""Rows `{"source": …, "target": …}`: a text, and the text to write for it, such as its translation or its summary."""

from __future__ import annotations

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

_OF_TARGETS = {
    BadReason.MISSING_TEXT: BadReason.MISSING_TARGET,
    BadReason.BLANK_TEXT: BadReason.BLANK_TARGET,
    BadReason.NOT_TEXT: BadReason.TARGET_NOT_TEXT,
    BadReason.NOT_UNICODE: BadReason.TARGET_NOT_UNICODE,
}
"""The reason for a target by the reason for a text."""


def parse(row: RawRow) -> Row | Unusable:
    """Return the row's source and target."""
    source, target = row.cells
    if (problem := problem_of_text(source)) is not None:
        return Unusable(problem, excerpt_of("" if source is None else source))
    if (problem := problem_of_text(target)) is not None:
        shown = source if problem in {BadReason.MISSING_TEXT, BadReason.BLANK_TEXT} else target
        return Unusable(_OF_TARGETS[problem], excerpt_of(shown))
    return {"source": source, "target": target}


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    if settings.model.labels is not None:
        raise ConfigError("model.labels: a text to write has no classes to name; leave labels out")
    for source in sources:
        if source.settings.label_rule is not None:
            raise ConfigError(f"{source.field}.labelRule: a text to write is no number; leave labelRule out")
    return Parsing(parsers=[parse for _ in sources])


SOURCE_TARGET = RowFormat(
    name="source-target",
    columns=("source", "target"),
    schema=pa.schema([("source", pa.string()), ("target", pa.string())]),
    parsing=_parsing,
    texts=lambda row: (row["source"],),
    answer=lambda row: str(row["target"]),
    labels=lambda _: (),
    label_names=list,
    class_of=lambda _: None,
    fewest_classes=0,
    no_classes="",  # no number of classes is too few
    one_label=False,
    expansion=3,  # two compressed copies of both texts, and their ids twice
)
