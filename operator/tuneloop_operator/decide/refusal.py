"""A field whose value cannot be used here, as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 20
"""Refusals that a message names; a thousand labels that are alike are a thousand refusals."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A field whose value cannot be used here."""

    reason: str
    """One CamelCase word."""
    field: str
    given: str
    allowed: str
    example: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.given}; {self.allowed}; for example {self.example}"


def message_of(refusals: Sequence[Refusal]) -> str:
    """Return the first refusals, one a line, and how many more there are."""
    lines = [str(refusal) for refusal in refusals[:_SHOWN]]
    return "\n".join([*lines, *([f"and {more} more"] if (more := len(refusals) - _SHOWN) > 0 else [])])
