"""How alike generated answers are, and how long they are. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_server.answers.rouge_l import similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.answers.answer_format import Choice


def likeness(stable: Sequence[Choice], canary: Sequence[Choice]) -> float | None:
    """Return how alike two answers are, from 0 to 1: that of the least alike texts. None where the models do not generate."""
    texts = [choice.generated for choice in (*stable, *canary)]
    if not texts or None in texts:
        return None
    if len(stable) != len(canary):
        return 0.0
    return min(
        likeness_to(first, second.generated.text)
        for first, second in zip(stable, canary, strict=True)
        if second.generated
    )


def likeness_to(choice: Choice | None, text: str) -> float:
    """Return how alike what was generated and a text are, from 0 to 1; 0 for a revision that did not answer."""
    generated = choice.generated if choice is not None else None
    return similarity(generated.text, text) if generated is not None else 0.0


def lengths_of(stable: Sequence[Choice], canary: Sequence[Choice]) -> tuple[int, int]:
    """Return the lengths of two generated answers, 1 or more: in tokens, or in characters where one of them does not say its tokens."""
    tokens = _tokens_of(stable), _tokens_of(canary)
    if tokens[0] is not None and tokens[1] is not None:
        return tokens[0], tokens[1]
    return _characters_of(stable), _characters_of(canary)


def _tokens_of(choices: Sequence[Choice]) -> int | None:
    counts = [choice.generated.tokens for choice in choices if choice.generated is not None]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(choices) else None


def _characters_of(choices: Sequence[Choice]) -> int:
    return max(1, sum(len(choice.generated.text) for choice in choices if choice.generated is not None))
