"""What can be wrong with feedback."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

RefusalReason: TypeAlias = Literal["damaged", "foreign", "expired", "future", "label", "input"]
"""Why feedback is not counted: the label `reason` of `tuneloop_feedback_refused_total`."""
REASONS: tuple[RefusalReason, ...] = get_args(RefusalReason)


class RefusedFeedback(Exception):  # noqa: N818  (named for what it means)
    """Feedback that is not counted. The text says why, and shows neither a token nor a key."""

    def __init__(self, message: str, *, reason: RefusalReason) -> None:
        super().__init__(message)
        self.reason: RefusalReason = reason
