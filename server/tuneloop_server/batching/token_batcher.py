"""The queue in front of a model that generates: prompts wait, join the answers that grow, and leave when they end or when their client leaves.

The event loop plans and hands out tokens; one worker thread runs the model. All answers grow by a token a pass.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from tuneloop_server.batching.batch_plan import recent_rate, retry_after
from tuneloop_server.batching.growing_rows import GrowingRows, Row
from tuneloop_server.batching.join_plan import joining, wanted_of
from tuneloop_server.errors import RequestError
from tuneloop_server.generation.answer import GrowingAnswer
from tuneloop_server.generation.beam_answer import BeamAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from concurrent.futures import Executor

    from tuneloop_api.contract.server_config import BatchingSettings
    from tuneloop_server.batching.join_plan import Wanted
    from tuneloop_server.generation.answer import Generation, Piece, Prompt
    from tuneloop_server.generation.model import GeneratingModel
    from tuneloop_server.generation_metrics import GenerationMetrics

    ModelsByAdapter: TypeAlias = Mapping[str | None, GeneratingModel]
    """The models of a server by the names of adapters; None stands for the model itself."""


@dataclass(eq=False, slots=True)
class _Place:
    """An answer that waits or grows."""

    row: Row
    wanted: Wanted
    since: float
    last: float
    """When its newest token came; before the first one as `since`."""
    arrived: asyncio.Queue[Piece | RequestError] = field(default_factory=asyncio.Queue)
    """Never longer than the answer, which is bounded: a client that reads slowly holds up nobody."""


class TokenBatcher:
    """Grows the answers of requests together."""

    def __init__(
        self, models: ModelsByAdapter, *, settings: BatchingSettings, metrics: GenerationMetrics, worker: Executor
    ) -> None:
        """models: they share one decoder."""
        first = next(iter(models.values()))
        self._models = models
        self._most_tokens = first.most_tokens
        self._settings = settings
        self._metrics = metrics
        self._worker = worker
        self._rows = GrowingRows(first.decoder)
        self._waiting: deque[_Place] = deque()
        self._growing: dict[Row, _Place] = {}
        self._came = asyncio.Event()
        self._seconds_per_answer = 0.0
        self._pass_began: float | None = None

    @property
    def waiting(self) -> int:
        """Prompts that have not joined yet."""
        return len(self._waiting)

    @property
    def pass_seconds(self) -> float:
        """For how long the pass under way has been running; 0 without one."""
        return 0.0 if self._pass_began is None else time.perf_counter() - self._pass_began

    def require_room(self, answers: int = 1) -> None:
        """Raise RequestError if so many more prompts must not wait."""
        limit = self._settings.max_queue
        if answers > limit:
            message = (
                f"inputs: {answers} texts were given, at most {limit} are allowed in one request (batching.maxQueue)"
            )
            raise RequestError(message, status=422, reason="validation")
        if len(self._waiting) + answers > limit:
            share = self._seconds_per_answer / self._settings.max_batch_size
            seconds = retry_after(waiting=len(self._waiting), seconds_per_text=share)
            message = f"{len(self._waiting)} prompts are waiting, at most {limit} may (batching.maxQueue); try again in {seconds} s"
            raise RequestError(message, status=429, reason="overloaded", retry_after=seconds)

    async def pieces(self, prompt: Prompt, generation: Generation) -> AsyncGenerator[Piece]:
        """Yield an answer, piece by piece. Whoever stops to iterate closes the iterator; the answer then leaves the batch before the next pass.

        Raises RequestError if the queue is full or the model fails.
        """
        self.require_room()
        now = time.perf_counter()
        kind = GrowingAnswer if generation.beams is None else BeamAnswer
        row = Row(kind(prompt, generation, self._models[prompt.adapter].meaning))
        place = _Place(row, wanted_of(prompt, generation), since=now, last=now)
        self._waiting.append(place)
        self._came.set()
        try:
            while True:
                piece = await place.arrived.get()
                if isinstance(piece, RequestError):
                    raise piece
                yield piece
                if piece.finish is not None:
                    return
        finally:
            self._leave(place)

    async def run(self) -> None:
        """Run passes until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._waiting and not self._growing:
                self._came.clear()
                await self._came.wait()
            joined = self._take()
            start = self._pass_began = time.perf_counter()
            grown = await loop.run_in_executor(self._worker, self._rows.advance, [place.row for place in joined])
            self._pass_began = None
            waited = [start - place.since for place in joined]
            self._metrics.pass_done(waited=waited, answers=len(grown), seconds=time.perf_counter() - start)
            for row, pieces in grown:
                self._deliver(row, pieces)

    def _take(self) -> list[_Place]:
        """Let the next prompts join."""
        count = joining(
            [place.wanted for place in self._waiting],
            [place.wanted for place in self._growing.values()],
            max_answers=self._settings.max_batch_size,
            most_tokens=self._most_tokens,
        )
        joined = [self._waiting.popleft() for _ in range(count)]
        self._growing |= {place.row: place for place in joined}
        return joined

    def _deliver(self, row: Row, pieces: Sequence[Piece] | RequestError) -> None:
        place = self._growing.get(row)
        if place is None:  # its client left during the pass
            return
        now = time.perf_counter()
        if isinstance(pieces, RequestError):
            place.arrived.put_nowait(pieces)
            self._metrics.ended("error")
        elif pieces:
            self._metrics.tokens(len(pieces), seconds=now - place.last, are_first=place.last == place.since)
            place.last = now
            for piece in pieces:
                place.arrived.put_nowait(piece)
            if (finish := pieces[-1].finish) is not None:
                self._metrics.ended("length" if finish == "length" else "stop")
                self._seconds_per_answer = recent_rate(self._seconds_per_answer, seconds=now - place.since, rows=1)
        if not row.is_wanted:
            del self._growing[row]

    def _leave(self, place: _Place) -> None:
        """Forget an answer that has not ended: nobody waits for it."""
        if place in self._waiting:
            self._waiting.remove(place)
        elif self._growing.pop(place.row, None) is None:
            return
        place.row.is_wanted = False
        self._metrics.ended("abort")
