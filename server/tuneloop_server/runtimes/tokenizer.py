"""Texts to windows of token ids, as the tokenizers of transformers make them.

A tokenizer reads all of a text, even where the model takes its first 512 tokens only. So a long text is cut at a space before it is tokenized, and
that counts only if the tokens are those of the whole text for certain: tokenizers divide a text into words and look at each alone, so enough
words must lie between the last token that is kept and the cut. A text that has no such place, such as a megabyte of one word, is read as a whole.
"""

from __future__ import annotations

import json
import math
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, pre_tokenizers

from tuneloop_api.contract.model_inputs import breaking_pattern
from tuneloop_api.features.text import unknown_ids
from tuneloop_server.fields import invalid, wrong
from tuneloop_server.model import Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import transformers
    from tokenizers import Encoding

_CHARACTERS_PER_TOKEN = 16
"""A text with more characters for each token that the model takes is cut first. In a language written with spaces a token has 3 to 6."""
_LEAST_CHARACTERS = 1024
_WORDS_BETWEEN = 8
"""Words between the tokens that are kept and the cut. A pattern that divides words looks one or two words ahead."""
_SPACES = " \n\t"
_SPACE_LETTER = "▁"
"""Stands for a space in the tokens of SentencePiece."""


def load_tokenizer(folder: Path) -> transformers.PreTrainedTokenizerFast:
    """Return the fast tokenizer in a folder. Raises ValueError if it has none, or what transformers raises."""
    from transformers import AutoTokenizer  # noqa: PLC0415  (takes seconds, and the tests of TextTokenizer need none of it)

    if not (
        folder / "tokenizer.json"
    ).is_file():  # transformers would make one without words, and every text would be unknown
        raise ValueError("it has no tokenizer.json (fast tokenizer), which is needed")
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, use_fast=True)
    if not tokenizer.is_fast:
        raise ValueError("its tokenizer has no tokenizer.json (fast tokenizer), which is needed")
    return tokenizer


class TextTokenizer:
    """A fast tokenizer that cuts texts at the model's limit. Safe to use from several threads at the same time."""

    reads_pairs = False
    """Whether it reads questions with their contexts."""

    def __init__(
        self,
        tokenizer: transformers.PreTrainedTokenizerFast,
        *,
        max_tokens: int,
        needs_offsets: bool,
        reads_masks: bool = False,
        max_windows: int,
    ) -> None:
        """reads_masks: the mask token in a text is read as such, and not as text. max_windows: most windows that texts may make together, if they are read in windows.

        Raises ValueError if mask tokens are to be read, and the tokenizer has none.
        """
        self.mask_id: int | None = _mask_id(tokenizer) if reads_masks else None
        self.mask_token = str(tokenizer.mask_token) if reads_masks else ""
        self._text_of = tokenizer.decode
        backend = tokenizer.backend_tokenizer
        self._tokenizer: Tokenizer = _with_plain_mask(backend, self.mask_token) if reads_masks else backend
        _read_as_text(self._tokenizer)
        self._tokenizer.no_padding()
        self._max_tokens = max_tokens
        self._max_windows = max_windows
        self._most_characters = max(_CHARACTERS_PER_TOKEN * max_tokens, _LEAST_CHARACTERS)
        self._side = tokenizer.truncation_side
        self._tokenizer.enable_truncation(max_tokens, direction=self._side)
        self._needs_offsets = needs_offsets
        self._needs_type_ids = "token_type_ids" in tokenizer.model_input_names
        self._strided_lock = Lock()
        self._whole_lock = Lock()
        """Held while a long text is read as a whole: the tokens of one megabyte take tens of megabytes."""
        self.pad_id: int | None = tokenizer.pad_token_id
        self.unknown_id: int | None = tokenizer.unk_token_id
        self.unknown_ids = unknown_ids(tokenizer)
        self.has_subword_prefix = bool(getattr(self._tokenizer.model, "continuing_subword_prefix", None))

    def encode(self, texts: Sequence[str], *, stride: int | None) -> list[list[Encoded]]:
        """Return the windows of each text. stride: None for one window, as `tokenizer(text, truncation=True, max_length=max_tokens)` makes it.

        Raises RequestError if `stride` leaves a window no token of its own.
        """
        if stride is not None:
            return self._windows(texts, stride)
        if all(len(text) <= self._most_characters for text in texts):
            return [[self._encoded(encoding)] for encoding in self._encode_whole(texts)]
        return [[self._first_window(text)] for text in texts]

    def _first_window(self, text: str) -> Encoded:
        """Return the tokens of a text, cut at the model's limit."""
        for most in (self._most_characters, 4 * self._most_characters):
            if 2 * most > len(text):
                break
            part, start = self._part(text, most)
            encoding = self._tokenizer.encode(part)
            if self._words_cut_off(encoding) >= _WORDS_BETWEEN:
                return self._encoded(encoding, start=start)
        with self._whole_lock:
            (encoding,) = self._encode_whole([text])
            return self._encoded(encoding)

    def _part(self, text: str, most: int) -> tuple[str, int]:
        """Return the side of a text that the model reads, up to a space, and where it begins; it is empty if there is no space."""
        if self._side == "right":
            return text[: max(0, *(text.rfind(space, most // 2, most) for space in _SPACES))], 0
        start = min(
            (at for space in _SPACES if (at := text.find(space, len(text) - most, len(text) - most // 2)) >= 0),
            default=len(text),
        )
        return text[start:], start

    def _words_cut_off(self, encoding: Encoding) -> int:
        """Return how many words of a text stand between the tokens that are kept and the end that was cut off; 0 if that is not known."""
        rest = encoding.overflowing
        if not rest:
            return 0
        if self._spaces_begin_tokens:
            return sum(token.startswith(_SPACE_LETTER) for window in rest for token in window.tokens)
        kept = [word for word in encoding.word_ids if word is not None]
        if not kept:
            return 0
        if self._side == "left":
            return kept[0]
        return max((word for word in rest[-1].word_ids if word is not None), default=kept[-1]) - kept[-1]

    @cached_property
    def _spaces_begin_tokens(self) -> bool:
        """Whether the text is not divided into words, but no token goes on after a space: then the words are still independent."""
        if self._tokenizer.pre_tokenizer is not None and len(set(self._tokenizer.encode("a b").word_ids) - {None}) > 1:
            return False
        return all(_SPACE_LETTER not in token.lstrip(_SPACE_LETTER) for token in self._tokenizer.get_vocab())

    def _encode_whole(self, texts: Sequence[str]) -> list[Encoding]:
        encode_batch = self._tokenizer.encode_batch if self._needs_offsets else self._tokenizer.encode_batch_fast
        return encode_batch(list(texts))

    def _windows(self, texts: Sequence[str], stride: int) -> list[list[Encoded]]:
        room = self._max_tokens - self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if stride >= room:
            most = room - 1
            raise wrong(
                "parameters.stride", stride, f"allowed are whole numbers from 0 to {most}; for example {most // 2}"
            )
        with self._strided_lock:
            self._check_windows(texts, room=room, stride=stride)
            self._strided.enable_truncation(self._max_tokens, stride=stride, direction=self._side)
            encodings = self._strided.encode_batch(list(texts))
        return [
            [self._encoded(window, truncated=False) for window in (encoding, *encoding.overflowing)]
            for encoding in encodings
        ]

    def _check_windows(self, texts: Sequence[str], *, room: int, stride: int) -> None:
        """Raise RequestError if the texts make too many windows. A window a token further on than the one before would take gigabytes."""
        if sum(map(len, texts)) <= self._max_tokens:
            return
        self._strided.no_truncation()
        encodings = self._strided.encode_batch_fast(list(texts), add_special_tokens=False)
        total = sum(windows_of(len(encoding), room=room, stride=stride) for encoding in encodings)
        if total > self._max_windows:
            limit = self._max_windows
            raise invalid(
                f"inputs: the texts make {total} windows, at most {limit} are allowed in one request (batching.maxQueue)"
            )

    def token(self, token_id: int) -> str:
        """Return the token of an id."""
        token = self._tokenizer.id_to_token(token_id)
        assert token is not None, f"{token_id} is no id of this tokenizer"
        return token

    def text_of(self, ids: Sequence[int], *, with_special_tokens: bool) -> str:
        """Return the text that ids stand for, as `tokenizer.decode` of transformers has it."""
        text: str = self._text_of(list(ids), skip_special_tokens=not with_special_tokens)
        return text

    def first_id(self, text: str) -> int | None:
        """Return the id of the token that a text is, or else that of its first token; None if it has none."""
        found: int | None = self._tokenizer.token_to_id(text)
        if found is not None:
            return found
        return next(iter(self._tokenizer.encode(text, add_special_tokens=False).ids), None)

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

    def _encoded(self, encoding: Encoding, *, truncated: bool | None = None, start: int = 0) -> Encoded:
        """start: where in the text the encoded part begins."""
        offsets = encoding.offsets if self._needs_offsets else []
        special_tokens = encoding.special_tokens_mask if self._needs_offsets else []
        if start:
            offsets = [
                place if special else (place[0] + start, place[1] + start)
                for place, special in zip(offsets, special_tokens, strict=True)
            ]
        return Encoded(
            ids=encoding.ids,
            type_ids=encoding.type_ids if self._needs_type_ids else [],
            truncated=bool(encoding.overflowing) if truncated is None else truncated,
            offsets=offsets,
            special_tokens=special_tokens,
        )


def windows_of(tokens: int, *, room: int, stride: int) -> int:
    """Return how many windows of `room` tokens a text makes, if each shares `stride` tokens with the one before."""
    return 1 + max(0, math.ceil((tokens - room) / (room - stride)))


def _mask_id(tokenizer: transformers.PreTrainedTokenizerFast) -> int:
    found: int | None = tokenizer.mask_token_id
    if found is None:
        raise ValueError("its tokenizer has no mask token (mask_token), which is needed")
    return found


def _with_plain_mask(tokenizer: Tokenizer, mask_token: str) -> Tokenizer:
    """Return a copy that finds the mask token in texts, and reads all other special tokens in them as text (`_read_as_text`)."""
    document = json.loads(tokenizer.to_str())
    for token in document["added_tokens"]:
        token["special"] = token["special"] and token["content"] != mask_token
    return Tokenizer.from_str(json.dumps(document))


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
