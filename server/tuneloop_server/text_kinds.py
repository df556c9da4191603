"""What is wrong with a text before any model reads it: blank, garbled, or the same again. Pure; no text is kept.

A broken client looks like drift to whoever counts features alone. These kinds need no reference: no language and no topic makes them.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Literal, TypeAlias, get_args

TextKind: TypeAlias = Literal["blank", "garbled", "repeated", "sound"]
KINDS: tuple[TextKind, ...] = get_args(TextKind)
LOOK_BACK = 64
"""Texts before one among which it is looked for. A text that makes up a tenth of the traffic is missed once in a thousand times."""
_MOST_CHARACTERS = 4096
"""Of a text that are looked at."""
_CONTINUATION = "\u0080-\u00bf" + bytes(range(0x80, 0xA0)).decode("cp1252", errors="ignore")
"""What a second byte of UTF-8 becomes in Latin-1, or in Windows-1252."""
_BEHIND_WORDS = "\u00a0»…’”“–—›"
"""Of these, what stands behind a word in sound texts: behind a capital it says nothing (HYVÄ…), nor does a space behind a sign or a unit (3 × 5, Ø 50, 10 Å)."""
# Two characters that UTF-8 has as two bytes each: é as Ã©, ж as Ð¶, a quotation mark as â€œ. First bytes whose letters stand before » or « in sound texts, such as É and ß, are left out.
_GARBLED = re.compile(
    f"[\ufffd\u0080-\u009f]|[ÂÃÄÅÎÏÐÑ×ØÙ](?![{_BEHIND_WORDS}])[{_CONTINUATION}]"
    f"|(?<![A-ZÀ-Þ])(?:[ÂÃÄÎÏÐÑÙ][{_BEHIND_WORDS}]|Å[{_BEHIND_WORDS[1:]}])|â[\u0080€]"
)


class TextKinds:
    """Knows the newest texts by their hashes, which mean nothing outside of this process."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=LOOK_BACK)

    def kind_of(self, text: str) -> TextKind:
        """Return the first kind that holds, and remember the text. Garbled: read in another encoding than it was written in, or with U+FFFD in place of letters."""
        mark = hash(text)
        is_known = mark in self._recent
        self._recent.append(mark)
        if not text.strip():
            return "blank"
        if _GARBLED.search(text, 0, _MOST_CHARACTERS):
            return "garbled"
        return "repeated" if is_known else "sound"
