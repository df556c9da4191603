"""The text of tokens that come one by one. A character whose bytes are spread over several tokens is held until it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INCOMPLETE = "\ufffd"
"""What tokenizers write for bytes that are no character. Some write it for each byte in a row of which one is wrong, also where earlier ones made a character."""
_CONTEXT = 8
"""Tokens before a new one that are decoded with it. A decoder may look at the token before, such as for the space at the beginning of a text."""
_MANY = 4 * _CONTEXT
"""Tokens that are decoded again and again, before the oldest are left out."""
_MOST_HELD = 8 * _CONTEXT
"""After so many tokens that complete no character, their text goes out as it is: no character has as many bytes."""


class TextStream:
    """Text by text, together the same as all tokens decoded at once."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """decode: token ids → their text, without special tokens."""
        self._decode = decode
        self._ids: list[int] = []
        self._sent = 0
        """Characters of the text of `_ids` that were returned already."""

    def push(self, token: int) -> str:
        """Return the text that another token completes; empty if it completes no character."""
        self._ids.append(token)
        text = self._decode(self._ids)
        whole = len(text.rstrip(_INCOMPLETE)) if len(self._ids) < _MOST_HELD else len(text) - 1
        new = text[self._sent : whole]
        self._sent = max(self._sent, whole)
        is_whole = self._sent == len(text)
        if len(self._ids) > _MANY and (is_whole or len(self._ids) >= _MOST_HELD):
            self._leave_out_oldest(text)  # never between the bytes of a character, which would stay wrong
        return new

    def _leave_out_oldest(self, text: str) -> None:
        """Decode only the newest tokens from now on: as few as leave the end of the text as it is."""
        unsent = len(text) - self._sent
        for start in range(len(self._ids) - _CONTEXT, len(self._ids)):
            end = self._decode(self._ids[start:])
            if len(end) > unsent and text.endswith(end):
                self._ids, self._sent = self._ids[start:], len(end) - unsent
                return

    def rest(self) -> str:
        """Return what was held, once no token follows: U+FFFD for a character that was not completed."""
        text = self._decode(self._ids)[self._sent :]
        self._sent += len(text)
        return text
