"""The simplest tagger that knows its language: each word always has the tag that it most often had in training."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def most_frequent_tags(rows: Iterable[tuple[Sequence[str], Sequence[str]]]) -> dict[str, str]:
    """Return the most frequent tag of each word, as it is written; of equally frequent tags the first in the alphabet.

    rows: words and tags of each training row, as many of each.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in rows:
        for word, tag in zip(words, tags, strict=True):
            counts[word][tag] += 1
    return {word: min(tags, key=lambda tag: (-tags[tag], tag)) for word, tags in counts.items()}
