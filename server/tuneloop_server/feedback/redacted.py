"""A row of feedback without personal data. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_api.contract.personal_data import mask_personal_data
from tuneloop_api.wire.model import changed
from tuneloop_server.feedback.conversation import conversation_text

if TYPE_CHECKING:
    from tuneloop_api.contract.feedback_row import FeedbackRow


def redacted(row: FeedbackRow) -> FeedbackRow:
    """Return a row whose texts have personal data masked: the text, each message of a conversation, and a correction. A label is one of the model's, and stays."""
    if row.form == "text-label":
        return row if row.text is None else changed(row, text=mask_personal_data(row.text))
    text = None if row.text is None else _masked(row.text, is_conversation=row.form == "messages")
    return changed(row, text=text, label=None if row.label is None else mask_personal_data(row.label))


def _masked(text: str, *, is_conversation: bool) -> str:
    if not is_conversation:
        return mask_personal_data(text)
    messages = [message | {"content": mask_personal_data(message["content"])} for message in json.loads(text)]
    return conversation_text(messages)
