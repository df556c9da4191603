"""One answer as it grows: tokens, their text, and why it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from tuneloop_server.generation.sampling import Sampling, TokenChooser
from tuneloop_server.generation.stop_strings import StopStrings
from tuneloop_server.generation.text_stream import TextStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

FinishReason: TypeAlias = Literal["length", "eos_token", "stop_sequence"]
"""Why an answer ended, in the words of Hugging Face's API: as many tokens as were allowed, the model's own end, or a stop string."""
FINISH_REASONS: tuple[FinishReason, ...] = ("length", "eos_token", "stop_sequence")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model goes on from."""

    text: str
    """With what the chat template adds."""
    ids: list[int]
    adapter: str | None = None
    """Which one goes on; None: the model itself."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How an answer is made."""

    max_tokens: int
    """It ends after so many tokens, the token of its end included."""
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    """It ends before the first of these strings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one token adds to an answer."""

    token: int
    logprob: float
    text: str
    """Empty while a character or a stop string may not be complete."""
    finish: FinishReason | None
    """None: more tokens follow."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A whole answer."""

    text: str
    pieces: Sequence[Piece]
    finish: FinishReason
    prompt_tokens: int


@dataclass(frozen=True, kw_only=True)
class TokenMeaning:
    """What an answer must know of the model's tokens."""

    decode: Callable[[Sequence[int]], str]
    """Token ids → their text, without special tokens."""
    ends: frozenset[int]
    """Each of these tokens ends an answer."""


@dataclass
class GrowingAnswer:
    """Takes the model's logits; gives the tokens that they choose. One thread at a time."""

    prompt: Prompt
    generation: Generation
    meaning: TokenMeaning
    tokens: list[int] = field(default_factory=list)
    finish: FinishReason | None = None

    def __post_init__(self) -> None:
        self._chooser = TokenChooser(self.generation.sampling, self.prompt.ids)
        self._stream = TextStream(self.meaning.decode)
        self._stops = StopStrings(self.generation.stop)

    def grow(self, logits: NDArray[np.float32]) -> Piece:
        """Return what the next token adds. logits: [V], of the last token. Raises NotFinite."""
        token, logprob = self._chooser.choose(logits)
        self.tokens.append(token)
        is_end = token in self.meaning.ends
        text, stopped = self._stops.push("" if is_end else self._stream.push(token))
        if not stopped and (is_end or len(self.tokens) >= self.generation.max_tokens):
            self.finish = "eos_token" if is_end else "length"
            last, stopped = self._stops.push(self._stream.rest())
            text += last if stopped else last + self._stops.rest()
        if stopped:
            self.finish = "stop_sequence"
        return Piece(token=token, logprob=logprob, text=text, finish=self.finish)


def whole(prompt: Prompt, pieces: Sequence[Piece]) -> Generated:
    """Return the answer of all its pieces; the last one has the reason of the end."""
    finish = pieces[-1].finish
    assert finish is not None
    text = "".join(piece.text for piece in pieces)
    return Generated(text=text, pieces=pieces, finish=finish, prompt_tokens=len(prompt.ids))
