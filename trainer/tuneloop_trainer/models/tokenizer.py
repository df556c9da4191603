"""Loads the tokenizer of a model, as a rule so that it reads every text as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.model_inputs import breaking_pattern

if TYPE_CHECKING:
    from pathlib import Path


def load_tokenizer(folder: Path, *, as_text: bool = True) -> Any:
    """Return the tokenizer of a folder. as_text: a fast one reads special tokens in a text as text. Raises whatever transformers raises."""
    from transformers import AutoTokenizer  # noqa: PLC0415  (seconds)

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    return read_as_text(tokenizer) if as_text and tokenizer.is_fast else tokenizer


def read_as_text(tokenizer: Any) -> Any:
    """Make a fast tokenizer read special tokens in a text as text; returns the tokenizer. Texts without special tokens keep their tokens.

    `split_special_tokens` keeps the tokenizer from looking for special tokens. Some models of tokenizers make them all the same, as any other
    piece: Unigram (T5, XLM-R), and models of whole words. So the pre-tokenizer breaks such pieces.
    """
    from tokenizers import Regex, pre_tokenizers  # noqa: PLC0415  (as above)

    tokenizer.split_special_tokens = True
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    special = [token.content for token in backend.get_added_tokens_decoder().values() if token.special]
    pattern = breaking_pattern(token for token in special if _is_piece(backend.model, token))
    if pattern is not None:
        parts = [pre_tokenizers.Split(Regex(pattern), "merged_with_previous"), backend.pre_tokenizer]
        backend.pre_tokenizer = pre_tokenizers.Sequence([part for part in parts if part is not None])
    return tokenizer


def _is_piece(model: Any, token: str) -> bool:
    """Return whether the model of a tokenizer makes this token of a text that holds it."""
    return model.token_to_id(token) is not None and any(piece.value == token for piece in model.tokenize(token))
