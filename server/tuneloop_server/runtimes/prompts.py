"""Texts and conversations to the tokens that a model goes on from, as transformers makes them.

Unlike texts that are classified, prompts are read with their special tokens: a client may write a conversation out by itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from tuneloop_api.features.text import unknown_ids
from tuneloop_server.errors import RequestError
from tuneloop_server.fields import invalid
from tuneloop_server.generation.answer import Prompt, TokenMeaning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import transformers
    from tokenizers import Tokenizer

_MOST_SHOWN = 200


class PromptTokenizer:
    """A fast tokenizer with its chat template. Safe to use from several threads at the same time."""

    def __init__(self, tokenizer: transformers.PreTrainedTokenizerFast, *, ends: frozenset[int]) -> None:
        """ends: tokens that end an answer."""
        self._tokenizer = tokenizer
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.no_truncation()
        self.unknown_ids = unknown_ids(tokenizer)
        self.meaning = TokenMeaning(decode=partial(self._backend.decode, skip_special_tokens=True), ends=ends)

    def of_text(self, text: str, *, field: str) -> Prompt:
        """Return the tokens of a text as it is. An empty one begins with the model's first token. Raises RequestError if it has none."""
        ids = self._backend.encode(text).ids
        if not ids and self._tokenizer.bos_token_id is not None:
            ids = [self._tokenizer.bos_token_id]
        if not ids:
            raise invalid(f"{field}: the tokenizer makes no token of it, at least one is needed", field=field)
        return Prompt(text=text, ids=ids)

    def of_messages(self, messages: Sequence[Mapping[str, str]]) -> Prompt:
        """Return the tokens of a conversation. Raises RequestError if the template refuses it, or makes nothing of it."""
        if self._tokenizer.chat_template is None:
            message = "messages: this model has no chat template; ask /v1/completions with the whole prompt"
            raise RequestError(message, status=400, reason="validation", field="messages")
        try:
            text: Any = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:_MOST_SHOWN]
            raise invalid(f"messages: the model's chat template refuses them: {reason}", field="messages") from error
        ids = self._backend.encode(text, add_special_tokens=False).ids
        if not ids:
            message = "messages: the tokenizer makes no token of what the model's chat template makes of them, at least one is needed"
            raise invalid(message, field="messages")
        return Prompt(text=text, ids=ids)
