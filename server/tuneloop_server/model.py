"""What a loaded model is: texts become token ids, token ids become logits or embeddings. Plain data between runtimes, batching and tasks.

Shapes: T = tokens of a text with its special tokens, C = labels, H = size of the hidden state.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Logits: TypeAlias = NDArray[np.float32]
    """[C] for a text, [T, C] for the tokens of a text, or [masks, size of the vocabulary] for its mask tokens."""
    Embedding: TypeAlias = NDArray[np.float32]
    """[H]: the mean of the last hidden state over the tokens of a text, divided by its L2 norm."""
    Output: TypeAlias = "Logits | Projected | Embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A text, or a window of a text, as token ids; special tokens included."""

    ids: list[int]
    type_ids: list[int] = field(default_factory=list)
    """`token_type_ids`; empty if the model takes none."""
    truncated: bool = False
    """The text was longer than the model's limit, and was cut."""
    offsets: list[tuple[int, int]] = field(default_factory=list)
    """For each token its start and end in the text, in characters; empty unless the task needs offsets."""
    special_tokens: list[int] = field(default_factory=list)
    """For each token 1 if the tokenizer added it to the text, else 0; empty unless the task needs offsets."""
    output: Literal["logits", "embedding"] = "logits"
    """What the model computes of it."""
    adapter: str | None = None
    """Name of the adapter that computes it; None: the model itself."""

    def __len__(self) -> int:
        return len(self.ids)


def of_adapter(windows: Sequence[Encoded], adapter: str | None) -> list[Encoded]:
    """Return windows that an adapter computes."""
    return [replace(window, adapter=adapter) for window in windows]


class Projected(NamedTuple):
    """What a model that was asked to project computes of a window."""

    logits: Logits
    projections: list[float]
    """Of the window's vector onto each direction."""


class Window(NamedTuple):
    """The tokens of a text, or of a part of it, and the model's logits for them."""

    encoded: Encoded
    logits: Logits
    projections: Sequence[float] = ()
    """Empty unless the model projects."""


def array_of(output: Output) -> Logits | Embedding:
    """Return the logits or the embedding of an output."""
    return output.logits if isinstance(output, Projected) else output


def window_of(encoded: Encoded, output: Output) -> Window:
    """Return a window with what the model computed of it."""
    return Window(encoded, *output) if isinstance(output, Projected) else Window(encoded, output)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSupport:
    """Whether a model makes embeddings of texts."""

    size: int = 0
    """H; 0 if it makes none."""
    refusal: str = ""
    """Why it makes none; empty if it makes them."""


class Vocabulary(Protocol):
    """What tasks ask of the tokenizer."""

    @property
    def unknown_id(self) -> int | None:
        """Id of the token that stands for all unknown ones."""

    @property
    def unknown_ids(self) -> frozenset[int]:
        """Ids of all tokens that stand for what the tokenizer does not know (`features.text.unknown_ids`)."""

    @property
    def has_subword_prefix(self) -> bool:
        """Whether tokens that continue a word begin with a prefix, such as `##`."""

    @property
    def pad_id(self) -> int | None:
        """Id of the token that pads."""

    @property
    def mask_id(self) -> int | None:
        """Id of the mask token; None where the task reads none (`Task.answers_at_masks`)."""

    @property
    def mask_token(self) -> str:
        """The mask token as it stands in a text; empty where the task reads none."""

    def token(self, token_id: int) -> str:
        """Return the token of an id."""

    def text_of(self, ids: Sequence[int], *, with_special_tokens: bool) -> str:
        """Return the text that ids stand for, as `tokenizer.decode` of transformers has it."""

    def first_id(self, text: str) -> int | None:
        """Return the id of the token that a text is, or else that of its first token; None if it has none."""

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text that tokens stand for."""


class Model(Protocol):
    """A loaded model. `encode` may be called from several threads at the same time, `predict` from one thread at a time."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer's vocabulary."""

    @property
    def embeddings(self) -> EmbeddingSupport:
        """Whether the model makes embeddings."""

    @property
    def pads(self) -> bool:
        """Whether a pass computes every window at the length of the longest."""

    def encode(self, texts: Sequence[str], *, stride: int | None = None) -> list[list[Encoded]]:
        """Return the windows of each text, at least one.

        A text longer than the model's limit is cut. With `stride` it becomes several windows instead, which share `stride` tokens with
        the window before. Raises RequestError if `stride` leaves a window no token of its own.
        """

    def project(self, directions: Sequence[Sequence[float]]) -> str:
        """From now on return projections beside logits; return why the model cannot, or an empty string. It may run a pass. directions: [k, H]."""

    def predict(self, batch: Sequence[Encoded]) -> list[Output]:
        """Run a forward pass; return what is asked for of each window: its logits, with projections where the model projects, or its embedding."""
