"""Rows `{"text": …}`: a document, which has nothing beside it. The model learns from the text itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from tuneloop_trainer.data.formats.row_format import Parsing, RowFormat, SourceToParse, Unusable
from tuneloop_trainer.data.formats.text_label import problem_of_text
from tuneloop_trainer.data.formats.unlabelled import refuse_labels
from tuneloop_trainer.data.sources.excerpt import excerpt_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.sources.raw import RawRow
    from tuneloop_trainer.tasks.task import Row


def parse(row: RawRow) -> Row | Unusable:
    """Return the row's text."""
    (text,) = row.cells
    if (problem := problem_of_text(text)) is not None:
        return Unusable(problem, excerpt_of("" if text is None else text))
    return {"text": text}


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    refuse_labels(sources, settings)
    return Parsing(parsers=[parse for _ in sources])


TEXT = RowFormat(
    name="text",
    columns=("text",),
    schema=pa.schema([("text", pa.string())]),
    parsing=_parsing,
    texts=lambda row: (row["text"],),
    answer=lambda _: "",  # nothing that rows with one text could disagree about
    labels=lambda _: (),
    label_names=list,
    class_of=lambda _: None,
    fewest_classes=0,
    no_classes="",  # no number of classes is too few
    one_label=False,
    expansion=8,  # two compressed copies of the text; its ids, and three values of each token, twice
)
