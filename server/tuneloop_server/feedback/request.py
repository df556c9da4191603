"""Reads the body of `POST /v1/feedback`: one object, or a list of them. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import get_args

from tuneloop_api.contract.feedback_row import FeedbackSource
from tuneloop_server.errors import RequestError
from tuneloop_server.fields import check_known, invalid, wrong

MOST_ITEMS = 1000
_FIELDS = ("token", "label", "correct", "input", "source")
_EXAMPLE = 'for example {"token": "…", "label": "positive"}'


@dataclass(frozen=True, kw_only=True)
class FeedbackItem:
    """A token with what is known of its prediction: exactly one of label and correct."""

    token: str
    label: str | int | None = None
    """What would have been right: the name of a label, or its id."""
    correct: bool | None = None
    """Whether the prediction was right."""
    input: str | None = None
    """The text that was predicted, sent again to be kept."""
    source: FeedbackSource = "client"
    """Who chose that the prediction gets a label."""
    field: str = ""
    """Where it stands in the body, for errors: `[3].`, or empty."""


def read(body: bytes) -> list[FeedbackItem]:
    """Return the feedback of a request. Raises RequestError naming the field that is wrong."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise RequestError("the body is nested too deeply to be read", status=400, reason="validation") from None
    except ValueError as error:
        raise RequestError(f"the body is not JSON ({error}); {_EXAMPLE}", status=400, reason="validation") from error
    if not isinstance(document, list):
        return [_item(document, field="")]
    if not document or len(document) > MOST_ITEMS:
        raise invalid(f"the body is a list of {len(document)}; 1 to {MOST_ITEMS} objects are allowed, {_EXAMPLE}")
    return [_item(item, field=f"[{number}].") for number, item in enumerate(document)]


def _item(document: object, *, field: str) -> FeedbackItem:
    if not isinstance(document, dict):
        raise wrong(field.rstrip(".") or "the body", document, f"expected an object, {_EXAMPLE}")
    check_known(document, _FIELDS, prefix=field)
    token, label, correct, text, source = (document.get(name) for name in _FIELDS)
    if not isinstance(token, str):
        raise wrong(f"{field}token", token, "expected the text that x-tuneloop-feedback had")
    if (label is None) == (correct is None):
        needed = (
            "either label or correct is needed"
            if label is None
            else "label and correct are given, and only one of them is allowed"
        )
        raise invalid(f"{field}label: {needed}, {_EXAMPLE}", field=f"{field}label")
    if correct is not None and not isinstance(correct, bool):
        raise wrong(f"{field}correct", correct, "expected true or false")
    if label is not None and (isinstance(label, bool) or not isinstance(label, str | int)):
        raise wrong(f"{field}label", label, "expected the name of a label, or its id; for example 1")
    if text is not None and not isinstance(text, str):
        raise wrong(f"{field}input", text, "expected the text of the prediction")
    if source not in (None, *get_args(FeedbackSource)):
        raise wrong(f"{field}source", source, "expected client or audit")
    return FeedbackItem(token=token, label=label, correct=correct, input=text, source=source or "client", field=field)
