"""A decoder that torch runs: rows of tokens that grow by one token a pass, with their keys and values kept.

B = rows, T = tokens of the longest row, V = tokens of the vocabulary. Rows are padded on the left, so that the last token of each is in the last column.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from tuneloop_server.runtimes.rows_cache import RowsCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import transformers
    from numpy.typing import NDArray

_PAD = 0
"""Any token: it is masked."""


class TorchDecoder:
    """The rows of a batch. All methods run on one thread."""

    def __init__(self, model: transformers.PreTrainedModel) -> None:
        self._model = model
        names = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in names
        self._last_only: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in names else {}
        self._cache = RowsCache()
        self._tokens: list[int] = []
        """Of each row, without padding."""

    @property
    def bytes_per_token(self) -> int:
        """Bytes that the keys and values of a token take; 0 before the first pass."""
        return self._cache.bytes_per_token

    @torch.inference_mode()
    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Add a row for each prompt; return the logits of their last tokens, [prompts, V]. If it raises, the rows are as before."""
        longest = max(map(len, prompts))
        ids = [[_PAD] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        cache, tokens = RowsCache(), [len(prompt) for prompt in prompts]
        logits = self._pass(ids, tokens, cache)
        if self._tokens:
            self._cache.join(cache)
        else:
            self._cache = cache
        self._tokens += tokens
        return logits

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Add a token to each row; return the logits of these, [B, V]. If it raises, the rows are of no use any more."""
        self._tokens = [count + 1 for count in self._tokens]
        return self._pass([[token] for token in tokens], self._tokens, self._cache)

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order, and drop all others."""
        if not rows:
            self._cache, self._tokens = RowsCache(), []
            return
        longest = max(self._tokens)
        self._tokens = [self._tokens[row] for row in rows]
        self._cache.keep(rows, dropped=longest - max(self._tokens))

    def _pass(self, ids: list[list[int]], tokens: Sequence[int], cache: RowsCache) -> NDArray[np.float32]:
        """Return the logits of the last column, [B, V]. ids: [B, new]. tokens: of each row with the new ones; more than `ids` has where the cache holds some."""
        device = self._model.device
        new, longest = len(ids[0]), max(tokens)
        places = torch.arange(longest - new, longest, device=device)
        padding = torch.tensor([longest - count for count in tokens], device=device)
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": (torch.arange(longest, device=device) >= padding[:, None]).long(),
            **self._last_only,
        }
        if self._takes_positions:
            inputs["position_ids"] = (places - padding[:, None]).clamp(min=0)
        logits = self._model(**inputs, past_key_values=cache, use_cache=True).logits
        return logits[:, -1].float().cpu().numpy()
