"""What a model that generates offers. Plain protocols between runtimes and batching.

B = rows, V = tokens of the vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tuneloop_server.generation.answer import Prompt, TokenMeaning
    from tuneloop_server.generation.settings import GenerationDefaults


class Decoder(Protocol):
    """Rows of tokens that grow together. Its methods are called from one thread at a time."""

    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Add a row for each prompt below the others; return the logits of their last tokens, [prompts, V]. If the pass fails, no row is added.

        A decoder with adapters takes a second argument: the adapter of each prompt.
        """

    def step(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Add a token to each row; return the logits of these, [B, V]. If it fails, only `keep([])` helps."""

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order, and drop all others."""


class GeneratingModel(Protocol):
    """A loaded model that goes on from a prompt. All but the decoder may be used from several threads at the same time."""

    @property
    def decoder(self) -> Decoder:
        """What computes."""

    @property
    def unknown_ids(self) -> frozenset[int]:
        """Ids of all tokens that stand for what the tokenizer does not know."""

    @property
    def meaning(self) -> TokenMeaning:
        """What tokens stand for."""

    @property
    def defaults(self) -> GenerationDefaults:
        """How it is decoded where a client does not say."""

    @property
    def window(self) -> int:
        """Most tokens of prompt and answer together."""

    @property
    def most_tokens(self) -> int:
        """Tokens of all rows, padding included, whose keys and values fit into memory; at least `window`."""

    def prompt_of_text(self, text: str, *, field: str) -> Prompt:
        """Return the tokens of a text as it is. field: names it in errors. Raises RequestError if it has no token."""

    def prompt_of_messages(self, messages: Sequence[Mapping[str, str]]) -> Prompt:
        """Return the tokens of a conversation, with the beginning of the answer that is wanted. Raises RequestError if the chat template refuses it, or if there is none."""
