"""Texts to the tokens that an encoder reads: as text, with the prefix of the artifact, and cut where training cut them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tuneloop_server.errors import RequestError
from tuneloop_server.fields import invalid
from tuneloop_server.generation.answer import Prompt, TokenMeaning
from tuneloop_server.runtimes.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    import transformers

    from tuneloop_server.generation.sampling import TokenRules


class SourceTokenizer:
    """A fast tokenizer. Safe to use from several threads at the same time."""

    def __init__(
        self,
        tokenizer: transformers.PreTrainedTokenizerFast,
        *,
        max_tokens: int,
        prefix: str,
        start: int,
        ends: frozenset[int],
        rules: Callable[[int], TokenRules | None],
    ) -> None:
        """max_tokens: of a source. prefix: begins every source. start: token that the decoder reads first. ends, rules: of `TokenMeaning`."""
        self._texts = TextTokenizer(tokenizer, max_tokens=max_tokens, needs_offsets=False, max_windows=1)
        self._prefix, self._start = prefix, start
        self.unknown_ids = self._texts.unknown_ids
        decode = partial(tokenizer.backend_tokenizer.decode, skip_special_tokens=True)
        self.meaning = TokenMeaning(decode=decode, ends=ends, rules=rules)

    def of_text(self, text: str, *, field: str) -> Prompt:
        """Return the tokens of a source. Raises RequestError if it has none."""
        whole = f"{self._prefix}{text}"
        (((encoded),),) = self._texts.encode([whole], stride=None)
        if not encoded.ids:
            raise invalid(f"{field}: the tokenizer makes no token of it, at least one is needed", field=field)
        return Prompt(text=whole, ids=[self._start], source=encoded.ids, truncated=encoded.truncated)

    def of_messages(self, messages: Sequence[Mapping[str, str]]) -> NoReturn:
        """Raises RequestError: such a model reads a text and holds no conversation."""
        del messages
        message = "messages: this model writes a text for a text and holds no conversation; ask /v1/completions with the text as prompt"
        raise RequestError(message, status=400, reason="validation", field="messages")
