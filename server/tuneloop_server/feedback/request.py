"""Reads the body of `POST /v1/feedback`: one object, or a list of them. What is said of a label and of a generated answer differs. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from tuneloop_api.contract.feedback_row import FeedbackForm, FeedbackSource
from tuneloop_server.errors import RequestError
from tuneloop_server.fields import check_known, invalid, wrong

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ITEMS = 1000
_EXAMPLE = 'for example {"token": "…", "label": "positive"}'
_EXAMPLE_OF_ANSWER = 'for example {"token": "…", "score": 0.5}'


class ReadInput(NamedTuple):
    """What was predicted, as its token knows it."""

    text: str
    form: FeedbackForm


def label_input(field: str, value: object) -> ReadInput:
    """Return a text that got a label. Raises RequestError."""
    if not isinstance(value, str):
        raise wrong(field, value, "expected the text of the prediction")
    return ReadInput(value, "text-label")


@dataclass(frozen=True, kw_only=True)
class FeedbackItem:
    """A token with what is known of its prediction: exactly one of label and correct; of a generated answer a score, a correction, or both."""

    token: str
    label: str | int | None = None
    """What would have been right: the name of a label, or its id."""
    correct: bool | None = None
    """Whether the prediction was right."""
    score: float | None = None
    """How good a generated answer was, from 0 to 1."""
    correction: str | None = None
    """The answer that would have been right."""
    input: str | None = None
    """The text that was predicted, sent again to be kept."""
    form: FeedbackForm = "text-label"
    """What the input is."""
    source: FeedbackSource = "client"
    """Who chose that the prediction gets a label."""
    field: str = ""
    """Where it stands in the body, for errors: `[3].`, or empty."""


def read(
    body: bytes,
    *,
    generates: bool = False,
    read_input: Callable[[str, object], ReadInput] = label_input,
) -> list[FeedbackItem]:
    """Return the feedback of a request. Raises RequestError naming the field that is wrong.

    generates: the model's answers are texts that it generates. read_input: (field, value) → what was predicted.
    """
    example, item = (_EXAMPLE_OF_ANSWER, _answer_item) if generates else (_EXAMPLE, _label_item)
    try:
        document = json.loads(body)
    except RecursionError:
        raise RequestError("the body is nested too deeply to be read", status=400, reason="validation") from None
    except ValueError as error:
        raise RequestError(f"the body is not JSON ({error}); {example}", status=400, reason="validation") from error
    if not isinstance(document, list):
        return [item(_object(document, "", example), "", read_input)]
    if not document or len(document) > MOST_ITEMS:
        raise invalid(f"the body is a list of {len(document)}; 1 to {MOST_ITEMS} objects are allowed, {example}")
    fields = [f"[{number}]." for number in range(len(document))]
    return [
        item(_object(found, field, example), field, read_input) for found, field in zip(document, fields, strict=True)
    ]


def _object(document: object, field: str, example: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise wrong(field.rstrip(".") or "the body", document, f"expected an object, {example}")
    return document


def _label_item(document: dict[str, Any], field: str, read_input: Callable[[str, object], ReadInput]) -> FeedbackItem:
    check_known(document, ("token", "label", "correct", "input", "source"), prefix=field)
    common, label = _common(document, field, read_input), document.get("label")
    correct = _thumb(document, field)
    if (label is None) == (correct is None):
        needed = (
            "either label or correct is needed"
            if label is None
            else "label and correct are given, and only one of them is allowed"
        )
        raise invalid(f"{field}label: {needed}, {_EXAMPLE}", field=f"{field}label")
    if label is not None and (isinstance(label, bool) or not isinstance(label, str | int)):
        raise wrong(f"{field}label", label, "expected the name of a label, or its id; for example 1")
    return replace(common, label=label, correct=correct)


def _answer_item(document: dict[str, Any], field: str, read_input: Callable[[str, object], ReadInput]) -> FeedbackItem:
    check_known(document, ("token", "score", "correct", "correction", "input", "source"), prefix=field)
    common, correction = _common(document, field, read_input), document.get("correction")
    score, correct = _score(document.get("score"), field), _thumb(document, field)
    if score is not None and correct is not None:
        message = f"{field}score: score and correct are given, and only one of them is allowed"
        raise invalid(f"{message}, {_EXAMPLE_OF_ANSWER}", field=f"{field}score")
    if correction is not None and (not isinstance(correction, str) or not correction.strip()):
        raise wrong(f"{field}correction", correction, "expected the text that would have been right")
    if (score, correct, correction) == (None, None, None):
        message = f"{field}score: score, correct or correction is needed"
        raise invalid(f"{message}, {_EXAMPLE_OF_ANSWER}", field=f"{field}score")
    return replace(common, score=score, correct=correct, correction=correction)


def _common(document: dict[str, Any], field: str, read_input: Callable[[str, object], ReadInput]) -> FeedbackItem:
    token, text, source = (document.get(name) for name in ("token", "input", "source"))
    if not isinstance(token, str):
        raise wrong(f"{field}token", token, "expected the text that x-tuneloop-feedback had")
    if source not in (None, *get_args(FeedbackSource)):
        raise wrong(f"{field}source", source, "expected client or audit")
    found = None if text is None else read_input(f"{field}input", text)
    return FeedbackItem(
        token=token,
        input=None if found is None else found.text,
        form="text-label" if found is None else found.form,
        source=source or "client",
        field=field,
    )


def _thumb(document: dict[str, Any], field: str) -> bool | None:
    correct = document.get("correct")
    if correct is not None and not isinstance(correct, bool):
        raise wrong(f"{field}correct", correct, "expected true or false")
    return correct


def _score(given: object, field: str) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise wrong(f"{field}score", given, "allowed are numbers from 0 to 1; for example 0.5")
    return float(given)
