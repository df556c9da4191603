"""Rows `{"messages": [{"role": …, "content": …}]}`: a conversation, in which the assistant speaks at least once.

JSON lines, Parquet and saved data sets hold lists of objects; a cell of CSV or TSV holds the list as JSON.
"""

from __future__ import annotations

import json
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

ASSISTANT = "assistant"
ROLES = ("system", "user", ASSISTANT)
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])


def parse(row: RawRow) -> Row | Unusable:
    """Return the row's messages, each with its role and its content; what else a message has is left out."""
    (cell,) = row.cells
    if cell is None or cell in ("", []):
        return Unusable(BadReason.MISSING_MESSAGES)
    messages = _listed(cell)
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        return Unusable(BadReason.NOT_MESSAGES, excerpt_of(repr(cell)))
    turns = [{"role": message["role"], "content": message["content"]} for message in messages]
    shown = excerpt_of(" ".join(turn["content"] for turn in turns))
    if not all(is_unicode(turn["content"]) for turn in turns):
        return Unusable(BadReason.NOT_UNICODE, shown)
    spoken = [turn["content"] for turn in turns if turn["role"] == ASSISTANT]
    if not spoken:
        return Unusable(BadReason.NO_ASSISTANT, shown)
    if not all(map(str.strip, spoken)):
        return Unusable(BadReason.EMPTY_ANSWER, shown)
    return {"messages": turns}


def _listed(cell: object) -> object:
    """Return a cell, or the JSON in a cell of text; None where it is none."""
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") in ROLES and isinstance(message.get("content"), str)


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    refuse_labels(sources, settings)
    return Parsing(parsers=[parse for _ in sources])


MESSAGES = RowFormat(
    name="messages",
    columns=("messages",),
    schema=pa.schema([("messages", pa.list_(_MESSAGE))]),
    parsing=_parsing,
    texts=lambda row: tuple(f"{message['role']}: {message['content']}" for message in row["messages"]),
    answer=lambda _: "",  # a question may have several answers
    labels=lambda _: (),
    label_names=list,
    class_of=lambda _: None,
    fewest_classes=0,
    no_classes="",  # no number of classes is too few
    one_label=False,
    expansion=8,  # two compressed copies of the text; ids, targets and bytes of its tokens twice
)
