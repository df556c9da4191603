"""Which of two progress messages of a job is newer: they may come in any order. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_api.contract.progress import ProgressMessage

_STAGE_ORDER = {"prepare": 0, "train": 1, "export": 2}


def is_later(message: ProgressMessage, known: ProgressMessage) -> bool:
    """Whether a message is newer: by stage, attempt and sequence. A stage that runs again restarts its sequence, but sends later."""
    new, old = (_STAGE_ORDER[message.stage], message.attempt), (_STAGE_ORDER[known.stage], known.attempt)
    if new != old:
        return new > old
    return message.sequence > known.sequence or _sent(message) > _sent(known)


def _sent(message: ProgressMessage) -> datetime:
    return datetime.fromisoformat(message.sent_at)
