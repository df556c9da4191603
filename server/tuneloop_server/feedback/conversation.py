"""The messages of a chat as one text, as tokens and rows of feedback know them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def conversation_text(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the text of messages, the same for equal ones."""
    return json.dumps(messages, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
