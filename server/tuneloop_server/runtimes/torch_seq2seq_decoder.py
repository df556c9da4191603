"""The decoder of an encoder-decoder that torch runs: answers that grow by one token a pass, each beside the states of its source.

B = rows, T = tokens of the longest answer, S = tokens of the longest source, V = tokens of the vocabulary, H = size of the encoder's states. Answers are
padded on the left, as in `TorchDecoder`. A source is read once; what the decoder's layers make of its states is kept, with a mask of its tokens.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from tuneloop_server.runtimes.row_positions import row_positions
from tuneloop_server.runtimes.rows_cache import RowsCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import transformers
    from numpy.typing import NDArray

_PAD = 0
"""Any token: it is masked."""


class TorchSeq2SeqDecoder:
    """The rows of a batch. All methods run on one thread."""

    def __init__(self, model: transformers.PreTrainedModel, *, start: int) -> None:
        """start: token that the decoder reads first."""
        self.start = start
        self._model = model
        self._positions = row_positions(model)
        self._takes_positions = "position_ids" in inspect.signature(model.get_decoder().forward).parameters
        self._clear()

    def _clear(self) -> None:
        self._answers, self._sources = RowsCache(), _Sources()
        self._tokens: list[int] = []
        """Of each answer, the first of the decoder included, without padding."""

    @property
    def bytes_per_token(self) -> int:
        """Bytes that the keys and values of a token take, of an answer or of a source, whichever takes more; 0 before the first pass."""
        return max(self._answers.bytes_per_token, self._sources.bytes_per_token)

    @torch.inference_mode()
    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Read sources, and add a row for the answer to each; return the logits of their first tokens, [prompts, V]. If it raises, the rows are as before."""
        sources, states = self._read(prompts)
        answers, tokens = RowsCache(), [1] * len(prompts)
        logits = self._pass([self.start] * len(prompts), tokens, answers, sources, states)
        if self._tokens:
            self._answers.join(answers)
            self._sources.join(sources)
        else:
            self._answers, self._sources = answers, sources
        self._tokens += tokens
        return logits

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Add a token to each row; return the logits of these, [B, V]. If it raises, the rows are of no use any more."""
        self._tokens = [count + 1 for count in self._tokens]
        states = torch.zeros((), device=self._model.device).expand(*self._sources.mask.shape, self._states_size)
        return self._pass(tokens, self._tokens, self._answers, self._sources, states)

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order, and drop all others. A row may be kept several times."""
        if not rows:
            self._clear()
            return
        longest = max(self._tokens)
        self._tokens = [self._tokens[row] for row in rows]
        self._answers.keep(rows, dropped=longest - max(self._tokens))
        self._sources.keep(rows)

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[_Sources, torch.Tensor]:
        """Return the sources, whose keys and values the first pass adds, and the encoder's states, [prompts, S, H]. Sources are padded on the right, as in training."""
        device, longest = self._model.device, max(map(len, prompts))
        ids = torch.tensor([[*prompt, *[_PAD] * (longest - len(prompt))] for prompt in prompts], device=device)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        mask = torch.arange(longest, device=device) < lengths[:, None]
        states: torch.Tensor = self._model.get_encoder()(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        self._states_size = states.shape[-1]
        return _Sources(mask), states

    def _pass(
        self, new: Sequence[int], tokens: Sequence[int], answers: RowsCache, sources: _Sources, states: torch.Tensor
    ) -> NDArray[np.float32]:
        """Return the logits of a new token of each row, [B, V]. tokens: of each answer with the new one. states: of the encoder, [B, S, H]; where keys and values of sources are kept, only its shape is read."""
        device, longest = self._model.device, max(tokens)
        padding = torch.tensor([longest - count for count in tokens], device=device)
        places = torch.tensor(tokens, device=device)[:, None] - 1
        inputs: dict[str, Any] = {
            "encoder_outputs": BaseModelOutput(last_hidden_state=states),
            "attention_mask": sources.mask.long(),
            "decoder_input_ids": torch.tensor(new, device=device)[:, None],
            "decoder_attention_mask": (torch.arange(longest, device=device) >= padding[:, None]).long(),
        }
        if self._positions is not None:
            self._positions.places, self._positions.is_on = places, True
        elif self._takes_positions:
            inputs["decoder_position_ids"] = places
        cache = EncoderDecoderCache(answers, sources.cache)
        try:
            logits = self._model(**inputs, past_key_values=cache, use_cache=True).logits
        finally:
            if self._positions is not None:
                self._positions.is_on = False
        return logits[:, -1].float().cpu().numpy()


class _Sources:
    """The keys and values of the sources in each layer of the decoder."""

    def __init__(self, mask: torch.Tensor | None = None) -> None:
        """mask: [B, S], true for tokens."""
        self.mask = torch.zeros((0, 0), dtype=torch.bool) if mask is None else mask
        self.cache = DynamicCache()
        self._ids = list(range(len(self.mask)))
        """Alike for rows of the same source: beams of one answer change their places all the time."""

    @property
    def bytes_per_token(self) -> int:
        """Bytes that a token of a row takes."""
        return sum(
            held.element_size() * held.shape[1] * held.shape[3]
            for layer in self.cache.layers
            for held in (layer.keys, layer.values)
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Keep some rows, without the columns in which none of them has a token."""
        ids = [self._ids[row] for row in rows]
        if ids == self._ids:
            return
        self._ids = ids
        self.mask = self.mask[list(rows)]
        columns = self.mask.any(dim=0)
        self.mask = self.mask[:, columns]
        for layer in self.cache.layers:
            layer.keys, layer.values = (held[list(rows)][:, :, columns] for held in (layer.keys, layer.values))

    def join(self, other: _Sources) -> None:
        """Add rows below."""
        longest = max(self.mask.shape[1], other.mask.shape[1])
        self._ids += [1 + max(self._ids) + place for place in range(len(other.mask))]
        self.mask = torch.cat([_padded(mask, longest, dim=1) for mask in (self.mask, other.mask)])
        for mine, its in zip(self.cache.layers, other.cache.layers, strict=True):
            mine.keys, mine.values = (
                torch.cat([_padded(held, longest, dim=2) for held in both])
                for both in ((mine.keys, its.keys), (mine.values, its.values))
            )


def _padded(held: torch.Tensor, size: int, *, dim: int) -> torch.Tensor:
    """Return a tensor with zeros behind it, so that it has a size in a dimension."""
    after = [0, 0] * (held.dim() - 1 - dim)
    return torch.nn.functional.pad(held, (*after, 0, size - held.shape[dim]))
