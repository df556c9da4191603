"""Redacts output of the trainer, by the secrets of its own environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneloop_api.contract import redaction

if TYPE_CHECKING:
    from collections.abc import Sequence


def last_lines(lines: Sequence[str]) -> list[str]:
    """Return the last lines for a status: see `contract/redaction.py`."""
    return redaction.last_lines(lines, environment=os.environ)


def redact(text: str) -> str:
    """Return a text with `***` in place of secrets."""
    return redaction.redact(text, os.environ)
