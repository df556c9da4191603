"""Features of a text alone, whatever the task: its length, and how well the tokenizer knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tuneloop_api.features.task_features import Values

CHARACTERS, TOKENS, UNKNOWN, TRUNCATED = "text_characters", "text_tokens", "unknown_tokens", "truncated"
TEXT_FEATURES = (CHARACTERS, TOKENS, UNKNOWN, TRUNCATED)


def text_values(*, characters: int, tokens: int, unknown: int | None, truncated: bool) -> Values:
    """Return the features of a text.

    characters: Unicode code points of the whole text. tokens: after the cut, special tokens included. unknown: those of them that stand for
    something the tokenizer does not know; None: it knows everything. truncated: tokens were cut off.
    """
    return {
        CHARACTERS: characters,
        TOKENS: tokens,
        UNKNOWN: None if unknown is None else unknown / tokens,
        TRUNCATED: int(truncated),
    }


def unknown_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids that stand for what a tokenizer does not know: its unknown token, and single bytes in place of a letter.

    tokenizer: a fast one of transformers. GPT-2 names its end-of-text token as the unknown one too, and knows every text.
    """
    names = (f"<0x{byte:02X}>" for byte in range(256))
    found = {token_id for name in names if (token_id := tokenizer.backend_tokenizer.token_to_id(name)) is not None}
    marks = {getattr(tokenizer, f"{mark}_token_id") for mark in ("bos", "eos", "cls", "sep")}
    return frozenset(found | ({tokenizer.unk_token_id} - marks - {None}))


def counter_of(unknown: Collection[int]) -> Callable[[Sequence[int]], int | None]:
    """Return a function that counts these ids among the tokens of a text; it returns None for every text where there are no such ids."""
    if not unknown:
        return lambda _: None
    if len(unknown) == 1:
        (only,) = unknown
        return lambda ids: ids.count(only)
    return lambda ids: sum(map(unknown.__contains__, ids))
