"""Extractive question answering: the span of a context that answers a question, or none.

`inputs`: `{"question": str, "context": str}`, or a list of such objects; or a text whose first line is the question. `parameters`: `{"top_k": int,
"doc_stride": int, "max_answer_len": int, "handle_impossible_answer": bool}`. The answer is `{"answer", "score", "start", "end"}`, with `top_k` above 1 a list of such objects,
the best first. `start` and `end` count the characters (Unicode code points) of the context. The score is the probability of the start times that of the end, each
over the context's tokens of a window and its first token. No answer is `{"answer": "", "start": 0, "end": 0}`.

Without `handle_impossible_answer` the model's own threshold decides, which the validation split chose; `true` takes no answer where it is likelier, `false` never.
Source: https://huggingface.co/docs/inference-providers/tasks/question-answering, and what `pipeline("question-answering", align_to_words=False)` of transformers 4 returns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tuneloop_api.contract.artifact import AnswerSpans
from tuneloop_api.contract.model_inputs import question_text, split_question
from tuneloop_api.features.question_answering import NEVER, QUESTION_ANSWERING_FEATURES, answer_values
from tuneloop_api.features.text_classification import entropy_ratio
from tuneloop_server.answers.question_answering import ANSWER, NO_ANSWER, QUESTION_ANSWERING_ANSWERS
from tuneloop_server.fields import check_known, invalid, text_of, whole_number, wrong
from tuneloop_server.tasks.largest import largest
from tuneloop_server.tasks.task import Answer, Prediction, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tuneloop_server.model import Window
    from tuneloop_server.tasks.task import ModelFacts

_EXAMPLE = 'for example {"question": "Where is it?", "context": "It is in Denver."}'
_MOST_ANSWERS = 100


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringParameters:
    """How many answers a client wants, how long they may be, and whether there may be none. None: as the model has it."""

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int | None = None
    handle_impossible_answer: bool | None = None


class Span(NamedTuple):
    """An answer: characters of the context from start to end (exclusive), and its log probability."""

    start: int
    end: int
    score: float


class Spans(NamedTuple):
    """What a window holds."""

    best: list[Span]
    """The likeliest answers, the best first."""
    null: float
    """Log probability that it holds none."""


def read_input(field: str, value: object) -> str:
    """Return a question with its context as one text. Raises RequestError naming the field that is wrong."""
    if isinstance(value, str):
        text = text_of(field, value)
        question, context = split_question(text)
    elif isinstance(value, dict):
        check_known(value, ("question", "context"), prefix=f"{field}.")
        question, context = (
            text_of(f"{field}.{name}", value.get(name), expected=f"expected a string, {_EXAMPLE}")
            for name in ("question", "context")
        )
        text = question_text(question, context)
    else:
        raise wrong(field, value, f"expected an object with a question and a context, {_EXAMPLE}")
    for name, part in (("question", question), ("context", context)):
        if not part.strip():
            raise invalid(f"{field}: the {name} is blank; {_EXAMPLE}", field=field)
    return text


def read_parameters(given: Mapping[str, object]) -> QuestionAnsweringParameters:
    """Return the parameters. Raises RequestError naming the field that is wrong."""
    check_known(given, ("top_k", "doc_stride", "max_answer_len", "handle_impossible_answer"), prefix="parameters.")
    top_k = _number(given, "top_k", least=1, example=3) or 1
    if top_k > _MOST_ANSWERS:
        raise wrong("parameters.top_k", top_k, f"allowed are whole numbers from 1 to {_MOST_ANSWERS}; for example 3")
    impossible = given.get("handle_impossible_answer")
    if impossible is not None and not isinstance(impossible, bool):
        raise wrong(
            "parameters.handle_impossible_answer",
            impossible,
            "expected true or false, or null for the model's own threshold",
        )
    return QuestionAnsweringParameters(
        top_k=top_k,
        doc_stride=_number(given, "doc_stride", least=0, example=64),
        max_answer_len=_number(given, "max_answer_len", least=1, example=15),
        handle_impossible_answer=impossible,
    )


def answer(text: str, windows: Sequence[Window], parameters: QuestionAnsweringParameters, facts: ModelFacts) -> Answer:
    """Return the best answers of all windows, each span once. The prediction is whether there is an answer, and how sure that is.

    Raises RequestError if the text has no context.
    """
    _, context = split_question(text)
    if not context.strip():
        raise invalid("inputs: a text has no context; the first line is the question, and the context stands behind it")
    model = facts.answer_spans or AnswerSpans(doc_stride=0, max_answer_tokens=30)
    longest = parameters.max_answer_len or model.max_answer_tokens
    found = [spans_of(window, longest=longest, most=parameters.top_k) for window in windows]
    best: dict[tuple[int, int], Span] = {}
    for span in sorted((span for spans in found for span in spans.best), key=lambda span: -span.score):
        best.setdefault((span.start, span.end), span)
    null, threshold = min(spans.null for spans in found), _threshold(parameters, model)
    ranked = [(span.score, _element(context[span.start : span.end], span)) for span in best.values()]
    if threshold is not None:
        ranked.append((null - threshold, _element("", Span(0, 0, null))))
        ranked.sort(key=lambda element: -element[0])
    value = [element for _, element in ranked[: parameters.top_k]]
    own = NEVER if model.null_threshold is None else model.null_threshold
    margins = [(NEVER if own == NEVER else spans.null - own, spans.best[0].score) for spans in found]
    return Answer(
        value=value[0] if parameters.top_k == 1 else value,
        predictions=[_prediction(value[0])],
        features=partial(answer_values, margins),
    )


def spans_of(window: Window, *, longest: int, most: int) -> Spans:
    """Return what a window holds. longest: tokens of an answer; most: answers that are wanted."""
    encoded, logits = window.encoded, window.logits.astype(np.float64)
    context = np.array(encoded.special_tokens) == 0
    allowed = context.copy()
    allowed[0] = True
    scores = logits - np.logaddexp.reduce(logits[allowed], axis=0)
    places = np.flatnonzero(context)
    sums = _sums(scores[places, 0], scores[places, 1], longest)
    firsts, lengths = np.unravel_index(largest(sums.ravel(), most), sums.shape)
    best = [
        Span(encoded.offsets[places[first]][0], encoded.offsets[places[first + length]][1], float(sums[first, length]))
        for first, length in zip(firsts.tolist(), lengths.tolist(), strict=True)
        if np.isfinite(sums[first, length])
    ]
    return Spans(best=best, null=float(scores[0].sum()))


def _sums(start: NDArray[np.float64], end: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """Return the log probability of each answer, [first token, tokens behind it]; -inf where it would leave the context."""
    width = min(longest, len(end))
    ahead = np.concatenate([end, np.full(width - 1, -np.inf)])
    return start[:, None] + np.lib.stride_tricks.sliding_window_view(ahead, width)


def _threshold(parameters: QuestionAnsweringParameters, model: AnswerSpans) -> float | None:
    """Return by how much no answer must be likelier to be given; None: an answer is always given."""
    if parameters.handle_impossible_answer is None:
        return model.null_threshold
    return 0.0 if parameters.handle_impossible_answer else None


def _element(text: str, span: Span) -> dict[str, object]:
    return {"answer": text, "score": math.exp(span.score), "start": span.start, "end": span.end}


def _prediction(element: dict[str, object]) -> Prediction:
    confidence = float(str(element["score"]))
    return Prediction(
        label=ANSWER if element["answer"] else NO_ANSWER,
        confidence=confidence,
        calibrated_confidence=confidence,
        entropy=entropy_ratio([confidence, 1.0 - confidence]),
    )


def _number(given: Mapping[str, object], name: str, *, least: int, example: int) -> int | None:
    if name not in given:
        return None
    expected = f"expected a whole number from {least}; for example {example}"
    return whole_number(f"parameters.{name}", given[name], least=least, expected=expected)


QUESTION_ANSWERING = Task(
    name="question-answering",
    auto_class="AutoModelForQuestionAnswering",
    needs_offsets=True,
    reads_pairs=True,
    read_input=read_input,
    read_parameters=read_parameters,
    stride=lambda parameters: parameters.doc_stride,
    answer=answer,
    features=QUESTION_ANSWERING_FEATURES,
    answer_format=QUESTION_ANSWERING_ANSWERS,
)
