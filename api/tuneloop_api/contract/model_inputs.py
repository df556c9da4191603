"""How a text becomes the inputs of a model: the rules that trainer and server share.

The rules are applied where the library of the tokenizers is at hand: `tuneloop_trainer.models.tokenizer`, `tuneloop_server.runtimes.tokenizer`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL_INPUTS = ("input_ids", "attention_mask")
"""What a model gets, in training, evaluation, export and serving: the tokens, and which of them are no padding.

Nothing else: `token_type_ids` tell a pair of texts apart, and a text alone has no second part. The published tokenizer names these inputs, and
whoever loads it gives its model no others.
"""


def breaking_pattern(tokens: Iterable[str]) -> str | None:
    """Return a regular expression for the first character of each token, wherever a text holds the whole token; None: no token can be broken.

    A pre-tokenizer that splits a text behind each match keeps the model of the tokenizer from seeing a whole token. Other texts stay as they are.
    A token of one character cannot be broken.
    """
    parts = [f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in sorted(tokens) if len(token) > 1]
    return "|".join(parts) or None
