"""Reads JSON documents field by field: each value is checked where it is read, and fields that nobody reads are ignored.

A document is written by another release, which may know more fields.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tuneloop_router.errors import MISSING, BadMessage

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

T = TypeVar("T")
LARGEST_DOCUMENT = 1 << 16
"""Bytes."""


@dataclass(frozen=True)
class TextRule:
    """What a text may be."""

    allowed: str
    example: str
    accepts: Callable[[str], object]
    """Returns something true for a text that is allowed."""

    @classmethod
    def of(cls, pattern: re.Pattern[str], *, allowed: str, example: str) -> TextRule:
        """Return the rule that the whole text must match a pattern."""
        return cls(allowed, example, pattern.fullmatch)


@dataclass(frozen=True)
class Fields:
    """One object of a document. Every method raises BadMessage for a value that is not allowed."""

    values: dict[str, Any]
    path: str = ""
    """Where the object stands in the document, as `revisions[1]`; empty for the document itself."""

    @classmethod
    def parse(cls, text: bytes) -> Fields:
        """Return the object that a JSON document holds."""
        if len(text) > LARGEST_DOCUMENT:
            raise BadMessage("the document", len(text), allowed=f"at most {LARGEST_DOCUMENT} bytes", example=1024)
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):  # a text that is not UTF-8 is a ValueError, too
            document = text[:40].decode(errors="replace")
        return cls._of(document, "")

    @classmethod
    def _of(cls, value: object, path: str) -> Fields:
        if not isinstance(value, dict):
            raise BadMessage(path or "the document", value, allowed="a JSON object", example={})
        return cls(value, path)

    def text(self, name: str, rule: TextRule, *, default: str | None = None) -> str:
        """Return a text that fits the rule."""
        value = self.values.get(name, default)
        if not isinstance(value, str) or not rule.accepts(value):
            raise self.bad(name, allowed=rule.allowed, example=rule.example)
        return value

    def optional_text(self, name: str, rule: TextRule) -> str | None:
        """Return a text that fits the rule; None where the field is absent or null."""
        return None if self.values.get(name) is None else self.text(name, rule)

    def whole(self, name: str, *, least: int, most: int, example: int, default: int | None = None) -> int:
        """Return a whole number from `least` to `most`."""
        value = self.values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.bad(name, allowed=f"a whole number from {least} to {most}", example=example)
        return value

    def optional_whole(self, name: str, *, least: int, most: int, example: int) -> int | None:
        """Return a whole number as `whole`; None where the field is absent or null."""
        return None if self.values.get(name) is None else self.whole(name, least=least, most=most, example=example)

    def number(self, name: str, *, least: float, most: float, example: float) -> float:
        """Return a finite number from `least` to `most`."""
        value = self.values.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise self.bad(name, allowed=f"a number from {least:g} to {most:g}", example=example)
        assert math.isfinite(value)
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.bad(name, allowed="true or false", example=default)
        return value

    def read(self, name: str, read: Callable[[Fields], T]) -> T | None:
        """Return what `read` makes of an object within this one; None where the field is absent or null."""
        value = self.values.get(name)
        return None if value is None else read(self._of(value, self._path(name)))

    def parts(self, name: str, *, most: int) -> list[Fields]:
        """Return a list of one to `most` objects."""
        value = self.values.get(name)
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise self.bad(name, allowed=f"a list of 1 to {most} objects", example=[{}])
        return [self._of(item, f"{self._path(name)}[{number}]") for number, item in enumerate(value)]

    def bad(self, name: str, *, allowed: str, example: object) -> BadMessage:
        """Return the error for the value of a field."""
        return BadMessage(self._path(name), self.values.get(name, MISSING), allowed=allowed, example=example)

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name
