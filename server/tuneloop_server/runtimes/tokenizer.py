"""Texts to windows of token ids, as the tokenizers of transformers make them."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, pre_tokenizers

from tuneloop_api.contract.model_inputs import breaking_pattern
from tuneloop_server.fields import wrong
from tuneloop_server.model import Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import transformers
    from tokenizers import Encoding


class TextTokenizer:
    """A fast tokenizer that cuts texts at the model's limit. Safe to use from several threads at the same time."""

    def __init__(
        self, tokenizer: transformers.PreTrainedTokenizerFast, *, max_tokens: int, needs_offsets: bool
    ) -> None:
        self._tokenizer: Tokenizer = tokenizer.backend_tokenizer
        _read_as_text(self._tokenizer)
        self._tokenizer.no_padding()
        self._max_tokens = max_tokens
        self._side = tokenizer.truncation_side
        self._tokenizer.enable_truncation(max_tokens, direction=self._side)
        self._needs_offsets = needs_offsets
        self._needs_type_ids = "token_type_ids" in tokenizer.model_input_names
        self._strided_lock = Lock()
        self.unknown_id: int | None = tokenizer.unk_token_id
        self.has_subword_prefix = bool(getattr(self._tokenizer.model, "continuing_subword_prefix", None))

    def encode(self, texts: Sequence[str], *, stride: int | None) -> list[list[Encoded]]:
        """Return the windows of each text. stride: None for one window, as `tokenizer(text, truncation=True, max_length=max_tokens)` makes it.

        Raises RequestError if `stride` leaves a window no token of its own.
        """
        if stride is None:
            encode_batch = self._tokenizer.encode_batch if self._needs_offsets else self._tokenizer.encode_batch_fast
            encodings = encode_batch(list(texts))
            return [[self._encoded(encoding, truncated=bool(encoding.overflowing))] for encoding in encodings]
        most = self._max_tokens - self._tokenizer.num_special_tokens_to_add(is_pair=False) - 1
        if stride > most:
            raise wrong(
                "parameters.stride", stride, f"allowed are whole numbers from 0 to {most}; for example {most // 2}"
            )
        with self._strided_lock:
            self._strided.enable_truncation(self._max_tokens, stride=stride, direction=self._side)
            encodings = self._strided.encode_batch(list(texts))
        return [
            [self._encoded(window, truncated=False) for window in (encoding, *encoding.overflowing)]
            for encoding in encodings
        ]

    def token(self, token_id: int) -> str:
        """Return the token of an id."""
        token = self._tokenizer.id_to_token(token_id)
        assert token is not None, f"{token_id} is no id of this tokenizer"
        return token

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text that tokens stand for."""
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(list(tokens))

    @cached_property
    def _strided(self) -> Tokenizer:
        """A copy whose stride each request sets. It is made at first use: most clients never ask for a stride."""
        copied = Tokenizer.from_str(self._tokenizer.to_str())
        copied.encode_special_tokens = True
        return copied

    def _encoded(self, encoding: Encoding, *, truncated: bool) -> Encoded:
        return Encoded(
            ids=encoding.ids,
            type_ids=encoding.type_ids if self._needs_type_ids else [],
            truncated=truncated,
            offsets=encoding.offsets if self._needs_offsets else [],
            special_tokens=encoding.special_tokens_mask if self._needs_offsets else [],
        )


def _read_as_text(tokenizer: Tokenizer) -> None:
    """Make a tokenizer read special tokens in a text as text, as `read_as_text` in the trainer does; see there."""
    tokenizer.encode_special_tokens = True
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    pattern = breaking_pattern(token for token in special if _is_piece(tokenizer, token))
    if pattern is not None:
        parts = [pre_tokenizers.Split(Regex(pattern), "merged_with_previous"), tokenizer.pre_tokenizer]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([part for part in parts if part is not None])


def _is_piece(tokenizer: Tokenizer, token: str) -> bool:
    model = tokenizer.model
    return model.token_to_id(token) is not None and any(piece.value == token for piece in model.tokenize(token))
