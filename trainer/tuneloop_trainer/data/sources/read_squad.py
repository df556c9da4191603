"""Reads files as SQuAD publishes them: one JSON document, `data` → `paragraphs` → `qas`, a row for each question.

The document is read as a whole, so its size is bounded; larger ones are to be JSON lines.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import (
    BATCH_ROWS,
    LONGEST_ROW,
    BadReason,
    RawBatch,
    RawRow,
    WantedColumns,
    characters_of,
    column_positions,
    raw_row,
)
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_trainer.locate import DataFile

MOST_BYTES = 268_435_456
"""Of a document. The training file of SQuAD 2.0 has 42 MB; as Python objects a document takes some five times its size."""


def read_squad(file: DataFile, *, wanted: WantedColumns, field: str) -> Iterator[RawBatch]:
    """Read a document; its columns are context, question, answers, id and title. Raises DataError if it is too large, or no such document."""
    size = file.path.stat().st_size
    if size > MOST_BYTES:
        raise DataError(
            f"{file.name}: has {size:,} bytes; a JSON document may have {MOST_BYTES:,}",
            hint="write one question a line (.jsonl): context, question and answers",
        )
    try:
        document = json.loads(file.path.read_bytes())
        rows = [row for article in document["data"] for row in _of_article(article)]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file.name}: is no SQuAD file: {type(error).__name__}: {str(error)[:100]}",
            hint='expected is {"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"id": …, "question": …, "answers": […]}]}]}]}',
        ) from error
    names = list(rows[0]) if rows else list(wanted.names)
    places = [names[place] for place in column_positions(names, wanted=wanted, file=file.name, field=field)]
    for first in range(0, len(rows), BATCH_ROWS):
        part = rows[first : first + BATCH_ROWS]
        batch = [_raw(number, row, places, wanted=wanted) for number, row in enumerate(part, start=first + 1)]
        yield RawBatch(batch, (first + len(part)) / len(rows))


def _of_article(article: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for paragraph in article["paragraphs"]:
        for question in paragraph["qas"]:
            yield {
                "context": paragraph["context"],
                "question": question["question"],
                "answers": [] if question.get("is_impossible") else question["answers"],
                "id": question.get("id"),
                "title": article.get("title"),
            }


def _raw(number: int, row: dict[str, Any], names: list[str], *, wanted: WantedColumns) -> RawRow:
    raw = raw_row(number, [row[name] for name in names], wanted=wanted)
    if characters_of(raw) > LONGEST_ROW:
        return RawRow(number, problem=BadReason.TOO_LONG, excerpt=excerpt_of(str(row["question"])))
    return raw
