"""The key of a text: texts with equal keys count as duplicates."""

from __future__ import annotations

import unicodedata

import xxhash

_BETWEEN_TEXTS = "\x1f"


def text_key(*texts: str) -> bytes:
    """Return the 128-bit hash of a row's texts; case, Unicode form and white space aside. 16 bytes."""
    folded = (unicodedata.normalize("NFKC", text).casefold() for text in texts)
    return xxhash.xxh3_128_digest(_BETWEEN_TEXTS.join(" ".join(text.split()) for text in folded).encode())
