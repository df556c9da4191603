"""Answers prompts with a loaded model that generates: tokenizes, waits for the tokens, makes the task's responses."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.features.generated_answers import generated_values
from tuneloop_server.batching.join_plan import rows_of, wanted_of
from tuneloop_server.batching.token_batcher import TokenBatcher
from tuneloop_server.errors import RequestError
from tuneloop_server.fields import invalid
from tuneloop_server.generation.answer import whole
from tuneloop_server.generation_metrics import GenerationMetrics
from tuneloop_server.model import EmbeddingSupport, Encoded, Window
from tuneloop_server.tasks.task import Answer
from tuneloop_server.text_kinds import TextKinds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from typing import NoReturn

    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_api.features.task_features import Values
    from tuneloop_server.features import FeatureCounts
    from tuneloop_server.generation.answer import Generated, Generation, Piece, Prompt
    from tuneloop_server.generation.model import GeneratingModel
    from tuneloop_server.generation.settings import Asked
    from tuneloop_server.monitoring import Monitoring
    from tuneloop_server.tasks.task import Generating

_ENCODE_HERE = 8192
"""Characters that are tokenized on the event loop (well under 2 ms); more would delay the tokens of others."""
_COMPARED_TOKENS = 256
"""Most tokens of an answer to a comparator."""
_NO_LOGITS = np.empty(0, dtype=np.float32)


class TextGenerator:
    """Answers prompts."""

    embeddings = EmbeddingSupport(refusal="this model generates text and makes no embeddings; ask /v1/completions")

    def __init__(
        self,
        model: GeneratingModel,
        *,
        generating: Generating[Any],
        batcher: TokenBatcher,
        monitoring: Monitoring,
        features: FeatureCounts | None,
        limit: int | None,
    ) -> None:
        """limit: most tokens of an answer; None: what the context window has room for."""
        self._model = model
        self._limit = limit
        self.generating = generating
        self._batcher = batcher
        self._monitoring = monitoring
        self._kinds = TextKinds()
        self._count = None if features is None else features.counter(model)

    async def embed(self, _: Sequence[str]) -> NoReturn:
        """Raises RequestError."""
        raise invalid(self.embeddings.refusal)

    async def answer(self, texts: Sequence[str], parameters: Any, *, is_traffic: bool) -> list[Answer]:
        """Return the answer for each text; they grow together. is_traffic: they count as features. Raises RequestError."""
        self._batcher.require_room(len(texts))
        asked = self.generating.asked(parameters)
        prompts = [await self.prompt_of_text(text, field=asked.fields[0]) for text in texts]
        planned = [(prompt, self.generation(prompt, asked)) for prompt in prompts]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.whole(*plan, is_traffic=is_traffic)) for plan in planned]
        except* RequestError as errors:
            raise errors.exceptions[0] from None
        return [
            self.generating.answer(text, task.result(), parameters) for text, task in zip(texts, tasks, strict=True)
        ]

    async def prompt_of_text(self, text: str, *, field: str) -> Prompt:
        """Return the tokens of a text. field: names it in errors. Raises RequestError, before any work where the queue is full."""
        self._batcher.require_room()
        return await _aside(partial(self._model.prompt_of_text, text, field=field), characters=len(text))

    async def prompt_of_messages(self, messages: Sequence[Mapping[str, str]]) -> Prompt:
        """Return the tokens of a conversation. Raises RequestError as `prompt_of_text` does."""
        self._batcher.require_room()
        characters = sum(len(message["content"]) for message in messages)
        return await _aside(partial(self._model.prompt_of_messages, messages), characters=characters)

    def generation(self, prompt: Prompt, asked: Asked) -> Generation:
        """Return how the answer to a prompt is made. Raises RequestError if the context window or the memory has no room for it."""
        model = self._model
        room_of_prompt = len(prompt.ids) if prompt.source is None else None
        generation = asked.generation(
            prompt=room_of_prompt, window=model.window, limit=self._limit, defaults=model.defaults
        )
        need = wanted_of(prompt, generation).alone
        if need > model.most_tokens:
            message = f"{asked.fields[1]}: {generation.max_tokens} tokens by {rows_of(generation)} beams take {need} tokens of keys and values, at most {model.most_tokens} fit into memory; "
            raise invalid(f"{message}ask for fewer tokens or beams", field=asked.fields[1])
        return generation

    def require_stream(self, generation: Generation) -> None:
        """Raise RequestError for an answer that is known as a whole alone."""
        if generation.beams is not None:
            count = generation.beams.count
            message = f"stream: true was given, and an answer of {count} beams is known at its end alone; leave it out, or send num_beams: 1"
            raise invalid(message, field="stream")

    async def whole(self, prompt: Prompt, generation: Generation, *, is_traffic: bool = True) -> Generated:
        """Return a whole answer. Raises RequestError."""
        async with aclosing(self.pieces(prompt, generation, is_traffic=is_traffic)) as pieces:
            return whole(prompt, [piece async for piece in pieces])

    async def pieces(self, prompt: Prompt, generation: Generation, *, is_traffic: bool = True) -> AsyncGenerator[Piece]:
        """Yield an answer as it grows. Whoever stops to iterate closes the iterator: nothing is computed for nobody. Raises RequestError.

        is_traffic: a client asks. A comparator gets the first tokens alone: copies of long answers must not take the room of clients.
        """
        if not is_traffic:
            generation = replace(generation, max_tokens=min(generation.max_tokens, _COMPARED_TOKENS))
        grown: list[Piece] = []
        async with aclosing(self._batcher.pieces(prompt, generation)) as pieces:
            async for piece in pieces:
                grown.append(piece)
                if piece.finish is not None:  # counted before its last piece goes out: a client may look right after it
                    self._answered(prompt, grown, is_traffic=is_traffic)
                yield piece

    def _answered(self, prompt: Prompt, pieces: Sequence[Piece], *, is_traffic: bool) -> None:
        """Count a whole answer. One that its client did not wait for counts among `tuneloop_generation_finish_total` alone."""
        encoded = Encoded(ids=prompt.read, truncated=prompt.truncated)
        self._monitoring.encoded([encoded])
        if not is_traffic:
            return
        self._monitoring.text_answered(self._kinds.kind_of(prompt.text))
        if self._count is not None:
            features = partial(_features_of, pieces)
            self._count(
                prompt.text,
                [Window(encoded, _NO_LOGITS)],
                Answer(value=None, predictions=[], features=features),
            )


class Generators:
    """Makes what answers prompts, once the model is loaded. The metrics are there from the start."""

    def __init__(
        self,
        generating: Generating[Any],
        config: ServerConfig,
        monitoring: Monitoring,
        worker: Executor,
        features: FeatureCounts | None,
    ) -> None:
        self._generating = generating
        self._settings = config.batching
        self._monitoring = monitoring
        self._worker = worker
        self._features = features
        self._metrics = GenerationMetrics(monitoring)

    def start(
        self, models: Mapping[str | None, GeneratingModel]
    ) -> tuple[TokenBatcher, Mapping[str | None, TextGenerator]]:
        """Return what runs the passes, and what answers prompts by the names of adapters; None stands for the model itself, of which alone there are features."""
        batcher = TokenBatcher(models, settings=self._settings, metrics=self._metrics, worker=self._worker)
        generators = {
            name: TextGenerator(
                model,
                generating=self._generating,
                batcher=batcher,
                monitoring=self._monitoring,
                features=self._features if name is None else None,
                limit=self._settings.max_new_tokens,
            )
            for name, model in models.items()
        }
        return batcher, generators


def _features_of(pieces: Sequence[Piece]) -> Values:
    finish = pieces[-1].finish
    assert finish is not None
    return generated_values(
        tokens=[piece.token for piece in pieces],
        logprob=math.fsum(piece.logprob for piece in pieces),
        finish=finish,
        text="".join(piece.text for piece in pieces),
    )


async def _aside(encode: Callable[[], Prompt], *, characters: int) -> Prompt:
    return encode() if characters <= _ENCODE_HERE else await asyncio.to_thread(encode)
