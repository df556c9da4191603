"""Answers texts with a loaded model that predicts: tokenizes, waits for the forward passes, makes the task's responses or embeddings."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_server.errors import RequestError
from tuneloop_server.fields import invalid
from tuneloop_server.model import array_of, window_of
from tuneloop_server.text_kinds import TextKinds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tuneloop_server.batching.batcher import Batcher
    from tuneloop_server.features import FeatureCounts
    from tuneloop_server.model import Embedding, EmbeddingSupport, Encoded, Model, Output
    from tuneloop_server.monitoring import Monitoring
    from tuneloop_server.tasks.task import Answer, ModelFacts, Task

_ENCODE_HERE = 8192
"""Characters that are tokenized on the event loop (well under 2 ms); more would delay other requests and probes."""
_ANSWER_HERE = 16_384
"""Numbers of a text that become its answer on the event loop. A hundred tokens for each of 64 masks of a text of 512 tokens take 4 s."""
_log = logging.getLogger(__name__)


class Answerer:
    """Answers texts."""

    def __init__(
        self,
        model: Model,
        *,
        task: Task[Any],
        facts: ModelFacts,
        batcher: Batcher[Encoded, Output],
        monitoring: Monitoring,
        features: FeatureCounts | None,
    ) -> None:
        self._count = features.counter(model.vocabulary) if features is not None else None
        self._kinds = TextKinds()
        self._model = model
        self._task = task
        self._facts = facts
        self._batcher = batcher
        self._monitoring = monitoring

    @property
    def embeddings(self) -> EmbeddingSupport:
        """Whether the model makes embeddings."""
        return self._model.embeddings

    async def answer(self, texts: Sequence[str], parameters: Any, *, is_traffic: bool) -> list[Answer]:
        """Return the answer for each text. is_traffic: they count as features. Raises RequestError: see `ModelService.answers`."""
        stride = self._task.stride(parameters)
        rows = await self._compute(texts, partial(self._encode_for_answers, texts, stride))
        answers = []
        for index, (text, outputs) in enumerate(zip(texts, rows, strict=True)):
            if index:  # the responses for many long texts take long: other requests get their turn between two texts
                await asyncio.sleep(0)
            windows = [window_of(encoded, output) for encoded, output in outputs]
            make = partial(self._task.answer, text, windows, parameters, self._facts)
            numbers = sum(window.logits.size for window in windows)
            answer = make() if numbers <= _ANSWER_HERE else await asyncio.to_thread(make)
            self._monitoring.predicted(answer.predictions)
            if is_traffic:
                self._monitoring.text_answered(self._kinds.kind_of(text))
                if self._count is not None:
                    self._count(text, windows, answer)
            answers.append(answer)
        self._monitoring.encoded([encoded for outputs in rows for encoded, _ in outputs])
        return answers

    async def embed(self, texts: Sequence[str]) -> list[tuple[Encoded, Embedding]]:
        """Return the tokens and the embedding of each text. Raises RequestError: see `ModelService.embed`."""
        if self.embeddings.refusal:
            raise invalid(self.embeddings.refusal)
        rows = await self._compute(texts, partial(self._encode_for_embeddings, texts))
        embedded = [(encoded, array_of(output)) for ((encoded, output),) in rows]
        self._monitoring.encoded([encoded for encoded, _ in embedded])
        return embedded

    async def _compute(
        self, texts: Sequence[str], encode: Callable[[], Awaitable[list[list[Encoded]]]]
    ) -> list[list[tuple[Encoded, Output]]]:
        """Return the windows of each text with the model's outputs. encode: makes the windows."""
        rows = await self._batcher.submit(len(texts), encode)
        for number, outputs in enumerate(rows, start=1):
            _require_numbers([output for _, output in outputs], text=number)
        return rows

    async def _encode_for_answers(self, texts: Sequence[str], stride: int | None) -> list[list[Encoded]]:
        windows = await self._encode(texts, stride)
        if refusal := self._task.refusal([first for first, *_ in windows], self._facts.vocabulary):
            raise invalid(f"inputs: {refusal}", field="inputs")
        return windows

    async def _encode_for_embeddings(self, texts: Sequence[str]) -> list[list[Encoded]]:
        windows = await self._encode(texts, None)
        return [[replace(window, output="embedding") for window in of_text] for of_text in windows]

    async def _encode(self, texts: Sequence[str], stride: int | None) -> list[list[Encoded]]:
        encode = partial(self._model.encode, texts, stride=stride)
        fast = stride is None and sum(map(len, texts)) <= _ENCODE_HERE
        windows = encode() if fast else await asyncio.to_thread(encode)
        for number, (first, *_) in enumerate(windows, start=1):
            if not first.ids:  # a tokenizer without special tokens makes no token of an empty text
                raise invalid(f"inputs: the tokenizer makes no token of text {number}, at least one is needed")
        return windows


def _require_numbers(outputs: Sequence[Output], *, text: int) -> None:
    """Raise RequestError if an output is NaN or infinite: JSON has no such number, and a metric that counted one would stay NaN."""
    if all(np.isfinite(array_of(output)).all() for output in outputs):
        return
    message = f"the model's output for text {text} is not a finite number: its weights are damaged"
    _log.error("%s", message)
    raise RequestError(message, status=500, reason="model_error")
