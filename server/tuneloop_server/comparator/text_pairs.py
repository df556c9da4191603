"""Counts pairs of generated texts: how alike they are, how each ended, how long it is. Pure; no text is kept."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tuneloop_api.contract.comparison import SIMILARITY_STEPS, GeneratedAnswers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.answers.answer_format import Choice
    from tuneloop_server.answers.generated import Ending


class Similarities:
    """Pairs by how alike both texts are."""

    def __init__(self) -> None:
        self.counts = [0] * (SIMILARITY_STEPS + 1)
        self.sum = self.squares = 0.0

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return sum(self.counts)

    def add(self, similarity: float) -> None:
        """Count one pair. similarity: from 0 to 1."""
        self.counts[int(similarity * SIMILARITY_STEPS)] += 1
        self.sum += similarity
        self.squares += similarity * similarity


class GeneratedTexts:
    """Texts of one revision."""

    def __init__(self) -> None:
        self.endings: Counter[Ending] = Counter()
        self.tokens = 0

    def add(self, choices: Sequence[Choice]) -> None:
        """Count the texts of one answer."""
        for choice in choices:
            if choice.generated is not None:
                self.endings[choice.generated.ending] += 1
                self.tokens += choice.generated.tokens or 0

    def message(self) -> GeneratedAnswers:
        """Return the counts as they are now."""
        return GeneratedAnswers(tokens=self.tokens, **{str(ending): count for ending, count in self.endings.items()})
