"""Rows `{"context": str, "question": str, "answers": {"text": [str], "answer_start": [int]}}`, as in SQuAD 1 and 2.

`answer_start` counts the characters (Unicode code points) of the context. Empty lists say that the context holds no answer. A question has one answer to learn,
the first, and any number of answers that count as right. Answers may also stand as in the SQuAD files, as a list of objects `{"text", "answer_start"}`.
Source: Rajpurkar et al. 2016 (arXiv:1606.05250) and 2018 (arXiv:1806.03822).
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from tuneloop_trainer.data.formats.row_format import Parsing, RowFormat, SourceToParse, Unusable
from tuneloop_trainer.data.formats.text_label import problem_of_text
from tuneloop_trainer.data.sources.excerpt import excerpt_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow, is_unicode
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Row

OUTPUTS = ("LABEL_0", "LABEL_1")
"""What transformers calls the outputs of such a model: for the start and for the end of the answer."""
_SHOWN = 40


def parse(row: RawRow, *, needs_answer: bool) -> Row | Unusable:
    """Return the context, the question as one line, and the answers without white space around them. needs_answer: a row without an answer is bad."""
    context, question, given = row.cells
    for text, missing in ((context, BadReason.MISSING_CONTEXT), (question, BadReason.MISSING_QUESTION)):
        if (problem := problem_of_text(text)) is not None:
            named = missing if problem is BadReason.MISSING_TEXT else problem
            return Unusable(named, excerpt_of("" if text is None else text))
    answers = _answers(given)
    if isinstance(answers, Unusable):
        return answers
    found = []
    for text, start in answers:
        if (wrong := _problem_of_answer(text, start, context=context)) is not None:
            return wrong
        found.append((text.strip(), start + len(text) - len(text.lstrip())))
    if needs_answer and not found:
        return Unusable(BadReason.NO_ANSWER, excerpt_of(question))
    texts, starts = [text for text, _ in found], [start for _, start in found]
    return {
        "context": context,
        "question": " ".join(question.split()),
        "answers": {"text": texts, "answer_start": starts},
    }


def _answers(given: object) -> list[tuple[str, int]] | Unusable:
    """Return (text, start) of each answer. A cell of CSV or TSV holds them as JSON."""
    if given is None or given == "":
        return Unusable(BadReason.MISSING_ANSWERS)
    value = _decoded(given) if isinstance(given, str) else given
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list) or not all(isinstance(answer, dict) for answer in value):
        return Unusable(BadReason.NOT_ANSWERS, excerpt_of(repr(given)))
    found = [(answer.get("text"), answer.get("answer_start")) for answer in value]
    if not all(isinstance(text, str) and type(start) is int for text, start in found):
        return Unusable(BadReason.NOT_ANSWERS, excerpt_of(repr(given)))
    return found


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _problem_of_answer(text: str, start: int, *, context: str) -> Unusable | None:
    if not text.strip():
        return Unusable(BadReason.BLANK_ANSWER)
    if not is_unicode(text):
        return Unusable(BadReason.NOT_UNICODE, excerpt_of(text))
    if not 0 <= start <= len(context) - len(text):
        about = f"answer_start {start}, {len(text)} characters of a context of {len(context)}"
        return Unusable(BadReason.ANSWER_OUTSIDE, excerpt_of(text[:_SHOWN], about=about))
    there = context[start : start + len(text)]
    if there != text:
        return Unusable(
            BadReason.OTHER_ANSWER, excerpt_of(f"{text[:_SHOWN]!r} {there[:_SHOWN]!r}", about=f"at {start}")
        )
    return None


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    if settings.model.labels is not None:
        raise ConfigError("model.labels: an answer is no class to name; leave labels out")
    for source in sources:
        if source.settings.label_rule is not None:
            raise ConfigError(f"{source.field}.labelRule: an answer is no number; leave labelRule out")
    needs_answer = settings.task_options.no_answer == "forbidden"
    return Parsing(parsers=[partial(parse, needs_answer=needs_answer) for _ in sources])


SQUAD = RowFormat(
    name="squad",
    columns=("context", "question", "answers"),
    schema=pa.schema(
        [
            ("context", pa.string()),
            ("question", pa.string()),
            ("answers", pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])),
        ]
    ),
    parsing=_parsing,
    texts=lambda row: (row["question"], row["context"]),
    answer=lambda row: "\n".join(row["answers"]["text"]),
    labels=lambda _: OUTPUTS,
    label_names=sorted,
    class_of=lambda _: None,
    fewest_classes=0,
    no_classes="",  # no number of classes is too few
    one_label=False,
    expansion=10,  # two compressed copies of the text; ids, places and marks of its tokens, those that windows share twice
)
