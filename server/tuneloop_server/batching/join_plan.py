"""How many of the waiting prompts join the answers that grow. Pure.

A pass over a prompt holds up all answers that grow, and a pass over few tokens costs nearly as much as one over a token. So short prompts join together,
and a long one alone. Measured in `docs/decisions/0080-text-is-generated-in-one-batch-that-answers-join-and-leave.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.generation.answer import Generation, Prompt

PROMPT_TOKENS = 256
"""Padded tokens of prompts that join together. One prompt may have more."""


class Wanted(NamedTuple):
    """What an answer takes."""

    prompt: int
    """Tokens of its prompt."""
    most: int
    """Tokens of the longest answer, and of its prompt where that is a part of the same sequence."""
    source: int = 0
    """Tokens of a prompt that is read apart, and kept for each row."""
    rows: int = 1

    @property
    def alone(self) -> int:
        """Tokens whose keys and values are kept where there is no other answer."""
        return self.rows * (self.source + self.most)


def rows_of(generation: Generation) -> int:
    """Return how many rows of the batch an answer has."""
    return 1 if generation.beams is None else generation.beams.count


def wanted_of(prompt: Prompt, generation: Generation) -> Wanted:
    """Return what an answer takes."""
    rows, read = rows_of(generation), len(prompt.read)
    if prompt.source is None:
        return Wanted(prompt=read, most=read + generation.max_tokens, rows=rows)
    return Wanted(prompt=read, most=generation.max_tokens, source=read, rows=rows)


def joining(waiting: Sequence[Wanted], growing: Sequence[Wanted], *, max_answers: int, most_tokens: int) -> int:
    """Return how many of the oldest waiting prompts join now. They join in the order of their arrival, so that no long prompt waits for ever.

    max_answers: that grow together. most_tokens: of all rows, each as long as the longest may become.
    """
    longest = max((answer.most for answer in growing), default=0)
    longest_source = max((answer.source for answer in growing), default=0)
    rows = sum(answer.rows for answer in growing)
    longest_prompt = 0
    for count, answer in enumerate(waiting):
        rows += answer.rows
        longest = max(longest, answer.most)
        longest_source = max(longest_source, answer.source)
        longest_prompt = max(longest_prompt, answer.prompt)
        is_free = len(growing) + count + 1 <= max_answers
        has_room = is_free and rows * (longest_source + longest) <= most_tokens
        if not has_room or (count > 0 and (count + 1) * longest_prompt > PROMPT_TOKENS):
            return count
    return len(waiting)
