"""Where the words of a text begin among its tokens. Pure.

A word is what stands between two spaces. It belongs to the first token that stands for a character of it, as in the training data
(`words_of_tokens` of the trainer's token classification).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def first_tokens(text: str, offsets: Iterable[tuple[int, int]]) -> list[int]:
    """Return the index of the first token of each word that has one. offsets: the characters of each token, from and to; equal for special tokens."""
    firsts = []
    end_of_word = -1
    for index, (start, end) in enumerate(offsets):
        if start < end_of_word:
            continue
        begin = start
        while begin < end and text[begin] == " ":
            begin += 1
        if begin < end:
            firsts.append(index)
            end_of_word = text.find(" ", begin)
            if end_of_word < 0:
                end_of_word = len(text)
    return firsts
