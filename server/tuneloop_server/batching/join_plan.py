"""How many of the waiting prompts join the answers that grow. Pure.

A pass over a prompt holds up all answers that grow, and a pass over few tokens costs nearly as much as one over a token. So short prompts join together,
and a long one alone. Measured in `docs/decisions/0080-text-is-generated-in-one-batch-that-answers-join-and-leave.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPT_TOKENS = 256
"""Padded tokens of prompts that join together. One prompt may have more."""


class Wanted(NamedTuple):
    """What an answer takes."""

    prompt: int
    """Tokens of its prompt."""
    most: int
    """Tokens of its prompt and of the longest answer."""


def joining(waiting: Sequence[Wanted], growing: Sequence[Wanted], *, max_rows: int, most_tokens: int) -> int:
    """Return how many of the oldest waiting prompts join now. They join in the order of their arrival, so that no long prompt waits for ever.

    max_rows: answers that grow together. most_tokens: of all rows, each as long as the longest may become.
    """
    longest = max((row.most for row in growing), default=0)
    longest_prompt = 0
    for count, row in enumerate(waiting):
        rows = len(growing) + count + 1
        longest = max(longest, row.most)
        longest_prompt = max(longest_prompt, row.prompt)
        has_room = rows <= max_rows and rows * longest <= most_tokens
        if not has_room or (count > 0 and (count + 1) * longest_prompt > PROMPT_TOKENS):
            return count
    return len(waiting)
