"""A field whose value cannot be used here, as a sentence."""

from __future__ import annotations

from dataclasses import dataclass


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
