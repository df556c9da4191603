"""Finds the strings at which an answer ends, in text that comes in parts. A part that may be the beginning of one is held back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Cut(NamedTuple):
    """What may be sent."""

    text: str
    stopped: bool
    """A stop string was found: the text ends before it, and nothing follows."""


class StopStrings:
    """Looks for stop strings wherever the borders between the parts lie. The one that is complete first counts; of several, the longest."""

    def __init__(self, strings: Sequence[str]) -> None:
        """strings: none of them empty."""
        self._strings = tuple(strings)
        self._held = ""

    def push(self, part: str) -> Cut:
        """Return what may be sent after another part."""
        text = self._held + part
        found = [(text.find(string) + len(string), -len(string)) for string in self._strings if string in text]
        if found:
            end, negative_length = min(found)
            self._held = ""
            return Cut(text[: end + negative_length], stopped=True)
        kept = max((_overlap(text, string) for string in self._strings), default=0)
        self._held = text[len(text) - kept :]
        return Cut(text[: len(text) - kept], stopped=False)

    def rest(self) -> str:
        """Return what was held back, once no part follows."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, string: str) -> int:
    """Return the length of the longest end of a text that begins a string, without being all of it."""
    longest = min(len(string) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(string[:size])), 0)
