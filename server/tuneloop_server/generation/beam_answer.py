"""An answer that beam search finds. Its text is known at its end alone: until then it has no piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_server.generation.answer import Piece
from tuneloop_server.generation.beam_search import BeamSearch
from tuneloop_server.generation.sampling import penalized
from tuneloop_server.generation.text_stream import TextStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_server.generation.answer import FinishReason, Generation, Prompt, TokenMeaning
    from tuneloop_server.generation.beam_search import Hypothesis


@dataclass
class BeamAnswer:
    """See `Growing`. Takes the model's logits of all its beams. One thread at a time."""

    prompt: Prompt
    generation: Generation
    meaning: TokenMeaning

    def __post_init__(self) -> None:
        assert self.generation.beams is not None
        self._rules = self.meaning.rules(self.generation.max_tokens)
        self._search = BeamSearch(
            self.generation.beams,
            start=self.prompt.ids,
            most=self.generation.max_tokens,
            ends=self.meaning.ends,
            change=self._change,
        )

    @property
    def last_tokens(self) -> list[int]:
        """See `Growing`."""
        return self._search.last_tokens

    @property
    def origins(self) -> list[int]:
        """See `Growing`."""
        return self._search.origins

    def advance(self, logits: NDArray[np.float32]) -> list[Piece]:
        """Return all pieces with the last pass, and none before. logits: [rows, V]. Raises NotFinite."""
        self._search.advance(logits)
        return self._pieces(self._search.best) if self._search.is_over else []

    def _change(self, tokens: Sequence[Sequence[int]], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        penalty = self.generation.sampling.repetition_penalty
        if penalty != 1.0:
            scores = np.stack(
                [penalized(of_row, set(row), penalty) for row, of_row in zip(tokens, scores, strict=True)]
            )
        return scores if self._rules is None else self._rules(tokens, scores)

    def _pieces(self, best: Hypothesis) -> list[Piece]:
        stream, pieces = TextStream(self.meaning.decode), []
        last = len(best.tokens) - 1
        for place, (token, logprob) in enumerate(zip(*best, strict=True)):
            is_end = token in self.meaning.ends
            text = "" if is_end else stream.push(token)
            if place == last:
                text += stream.rest()
            finish: FinishReason | None = None if place < last else "eos_token" if is_end else "length"
            pieces.append(Piece(token=token, logprob=logprob, text=text, finish=finish))
        return pieces
