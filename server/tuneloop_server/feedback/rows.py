"""From feedback to the row that is kept of it. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tuneloop_api.contract.feedback_row import FeedbackRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.feedback.request import FeedbackItem
    from tuneloop_server.feedback.token import Predicted

MOST_TEXT_CHARACTERS = 65_536
"""Of a text that is kept; models read less. To mask a longer one would hold up the requests of others."""
_RIGHT = 0.5
_TOKEN_ID_BYTES = 16
_TWO_TO_64 = 2.0**64


def row_of(
    item: FeedbackItem,
    predicted: Predicted,
    *,
    score: float,
    predicted_label: str | None,
    labels: Sequence[str],
    text_rate: float,
    now: float,
) -> FeedbackRow:
    """Return the row of feedback that was accepted; its texts are as the client sent them.

    score: from 0 to 1. predicted_label: None if its name is not known here. labels: of the model, in the order of their ids; none where it generates text.
    text_rate: part of the predictions whose text may be kept. now: seconds since 1970.
    """
    keeps_text = may_keep_text(predicted, rate=text_rate) and _can_be_learned_from(item.input)
    if not labels:
        label = _correction(item) if keeps_text else None  # a text as well: kept where its prompt is
    else:
        label = _label(item, predicted, predicted_label=predicted_label, labels=labels)
    return FeedbackRow(
        predicted_at=float(predicted.at),
        labelled_at=round(now, 3),
        revision=predicted.revision,
        predicted=predicted_label,
        confidence_bin=predicted.confidence_bin,
        correct=score >= _RIGHT,
        score=None if labels else score,
        form=item.form,
        label=label,
        text=item.input if keeps_text else None,
        token=_token_id(item.token),
        source=item.source,
    )


def _label(
    item: FeedbackItem, predicted: Predicted, *, predicted_label: str | None, labels: Sequence[str]
) -> str | None:
    """Return the name of the label that was right; None if feedback does not say it, or by an id of another revision whose labels have another order."""
    if item.correct or item.label == predicted.class_id:
        return predicted_label
    if not isinstance(item.label, int):
        return item.label
    is_same_order = predicted.class_id < len(labels) and labels[predicted.class_id] == predicted_label
    return labels[item.label] if is_same_order else None


def _correction(item: FeedbackItem) -> str | None:
    """Return the answer that was right; None if feedback has none to learn from."""
    return item.correction if _can_be_learned_from(item.correction) else None


def may_keep_text(predicted: Predicted, *, rate: float) -> bool:
    """Return whether the text of a prediction may be kept. All servers draw alike: by the digest, which nobody knows before the prediction."""
    return predicted.input_digest is not None and int.from_bytes(predicted.input_digest) < rate * _TWO_TO_64


def _token_id(token: str) -> str:
    """Return what rows of one prediction have in common; the token itself is a right to send feedback, and is not written."""
    return hashlib.sha256(token.encode("ascii")).digest()[:_TOKEN_ID_BYTES].hex()


def _can_be_learned_from(text: str | None) -> bool:
    """Whether a text is neither blank nor too long, and can be written as UTF-8: JSON can spell halves of characters."""
    return (
        text is not None
        and not text.isspace()
        and 0 < len(text) <= MOST_TEXT_CHARACTERS
        and not any("\ud800" <= character <= "\udfff" for character in text)
    )
