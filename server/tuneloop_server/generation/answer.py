"""One answer as it grows: tokens, their text, and why it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from tuneloop_server.generation.sampling import Sampling, TokenChooser
from tuneloop_server.generation.stop_strings import StopStrings
from tuneloop_server.generation.text_stream import TextStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tuneloop_server.generation.beam_search import Beams
    from tuneloop_server.generation.sampling import TokenRules

FinishReason: TypeAlias = Literal["length", "eos_token", "stop_sequence"]
"""Why an answer ended, in the words of Hugging Face's API: as many tokens as were allowed, the model's own end, or a stop string."""
FINISH_REASONS: tuple[FinishReason, ...] = ("length", "eos_token", "stop_sequence")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model goes on from."""

    text: str
    """With what the chat template, or the artifact, adds."""
    ids: list[int]
    """What the decoder reads first."""
    source: list[int] | None = None
    """What the encoder reads; None: the model has none."""
    truncated: bool = False
    """The source was longer than the model takes."""
    adapter: str | None = None
    """Which one goes on; None: the model itself."""

    @property
    def read(self) -> list[int]:
        """The tokens of the text."""
        return self.ids if self.source is None else self.source


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How an answer is made."""

    max_tokens: int
    """It ends after so many tokens, the token of its end included."""
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    """It ends before the first of these strings."""
    beams: Beams | None = None
    """None: one token is chosen after another."""


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


def no_rules(_most: int) -> None:
    """Let a model write what it likes."""


@dataclass(frozen=True, kw_only=True)
class TokenMeaning:
    """What an answer must know of the model's tokens."""

    decode: Callable[[Sequence[int]], str]
    """Token ids → their text, without special tokens."""
    ends: frozenset[int]
    """Each of these tokens ends an answer."""
    rules: Callable[[int], TokenRules | None] = no_rules
    """Most tokens of an answer → what the model may write."""


class Growing(Protocol):
    """An answer that grows. It has one row of the decoder in its first pass."""

    prompt: Prompt

    @property
    def last_tokens(self) -> list[int]:
        """The newest token of each row that it wants next."""

    @property
    def origins(self) -> list[int]:
        """Of each row that it wants next: which of its rows it goes on from."""

    def advance(self, logits: NDArray[np.float32]) -> list[Piece]:
        """Return what a pass adds, perhaps nothing. logits: of the last token of each row, [rows, V]. Raises NotFinite."""


@dataclass
class GrowingAnswer:
    """See `Growing`. Takes the model's logits; gives the tokens that they choose. One thread at a time."""

    prompt: Prompt
    generation: Generation
    meaning: TokenMeaning
    tokens: list[int] = field(default_factory=list)
    finish: FinishReason | None = None

    def __post_init__(self) -> None:
        self._chooser = TokenChooser(
            self.generation.sampling, self.prompt.ids, rules=self.meaning.rules(self.generation.max_tokens)
        )
        self._stream = TextStream(self.meaning.decode)
        self._stops = StopStrings(self.generation.stop)

    @property
    def last_tokens(self) -> list[int]:
        """See `Growing`."""
        return self.tokens[-1:]

    @property
    def origins(self) -> list[int]:
        """See `Growing`."""
        return [0]

    def advance(self, logits: NDArray[np.float32]) -> list[Piece]:
        """Return what the next token adds. logits: [1, V]. Raises NotFinite."""
        return [self.grow(logits[0])]

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
    return Generated(text=text, pieces=pieces, finish=finish, prompt_tokens=len(prompt.read))
