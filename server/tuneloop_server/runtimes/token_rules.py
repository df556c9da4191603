"""What a model may write at all, by its `generation_config.json`: the processors of transformers, in the order in which it applies them.

Models need them: those of the BART family begin and end with forced tokens, and summaries repeat themselves without `no_repeat_ngram_size`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    LogitsProcessorList,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import transformers
    from numpy.typing import NDArray

    from tuneloop_server.generation.sampling import TokenRules

RULES = frozenset(
    ["no_repeat_ngram_size", "bad_words_ids", "min_length", "min_new_tokens", "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens",
     "begin_suppress_tokens"]
)  # fmt: skip
"""The fields that are read here."""
_START = 1
"""Tokens that the decoder reads before it writes."""


@dataclass(frozen=True)
class TokenRulesOfModel:
    """Makes the rules of an answer."""

    config: transformers.GenerationConfig
    ends: frozenset[int]

    def __call__(self, most: int) -> TokenRules | None:
        """Return the rules of an answer of at most so many tokens; None: there are none."""
        processors = LogitsProcessorList(self._processors(most))
        if not processors:
            return None

        def apply(tokens: Sequence[Sequence[int]], scores: NDArray[np.float32]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = processors(torch.tensor(tokens), torch.tensor(scores)).numpy()
            return found

        return apply

    def _processors(self, most: int) -> list[transformers.LogitsProcessor]:
        config, ends = self.config, sorted(self.ends)
        first = config.forced_bos_token_id
        found: list[transformers.LogitsProcessor | None] = [
            NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size) if config.no_repeat_ngram_size else None,
            NoBadWordsLogitsProcessor(config.bad_words_ids, torch.tensor(ends)) if config.bad_words_ids else None,
            MinLengthLogitsProcessor(config.min_length, ends) if config.min_length and ends else None,
            MinNewTokensLengthLogitsProcessor(_START, config.min_new_tokens, ends)
            if config.min_new_tokens and ends
            else None,
            None if first is None else ForcedBOSTokenLogitsProcessor(first),
            None
            if config.forced_eos_token_id is None
            else ForcedEOSTokenLogitsProcessor(_START + most, config.forced_eos_token_id),
            SuppressTokensLogitsProcessor(config.suppress_tokens) if config.suppress_tokens else None,
            SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, _START if first is None else _START + 1)
            if config.begin_suppress_tokens
            else None,
        ]
        return [processor for processor in found if processor is not None]
