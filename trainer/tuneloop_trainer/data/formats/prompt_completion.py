"""Rows `{"prompt": …, "completion": …}`: a text, perhaps empty, and the continuation that is to be learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from tuneloop_trainer.data.formats.row_format import Parsing, RowFormat, SourceToParse, Unusable
from tuneloop_trainer.data.formats.unlabelled import refuse_labels
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow, is_unicode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Row


def parse(row: RawRow) -> Row | Unusable:
    """Return the row's prompt and completion, each as it stands in the file: white space between them belongs to one of the two."""
    prompt, completion = row.cells
    if prompt is None or completion is None:
        return Unusable(BadReason.MISSING_PROMPT if prompt is None else BadReason.EMPTY_COMPLETION)
    if not (isinstance(prompt, str) and isinstance(completion, str)):
        return Unusable(BadReason.NOT_TEXT, excerpt_of(repr(prompt if isinstance(completion, str) else completion)))
    if not (is_unicode(prompt) and is_unicode(completion)):
        return Unusable(BadReason.NOT_UNICODE, excerpt_of(prompt))
    if not completion.strip():
        return Unusable(BadReason.EMPTY_COMPLETION, excerpt_of(prompt))
    return {"prompt": prompt, "completion": completion}


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    refuse_labels(sources, settings)
    return Parsing(parsers=[parse for _ in sources])


PROMPT_COMPLETION = RowFormat(
    name="prompt-completion",
    columns=("prompt", "completion"),
    schema=pa.schema([("prompt", pa.string()), ("completion", pa.string())]),
    parsing=_parsing,
    texts=lambda row: (row["prompt"], row["completion"]),
    answer=lambda _: "",  # a prompt may have several continuations
    labels=lambda _: (),
    label_names=list,
    class_of=lambda _: None,
    fewest_classes=0,
    no_classes="",  # no number of classes is too few
    one_label=False,
    expansion=8,  # two compressed copies of the text; ids, targets and bytes of its tokens twice
)
