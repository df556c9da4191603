"""The queue in front of the model: rows gather while a forward pass runs, and leave in batches that `batch_plan` chooses.

A row is one entry of a batch, such as the tokens of a text. The event loop plans and answers; one worker thread runs the model. The next pass
starts before the answers of the last pass are written.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from tuneloop_server.batching.batch_plan import next_batch, recent_rate, retry_after, worth_waiting
from tuneloop_server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Executor

    from tuneloop_api.contract.server_config import BatchingSettings
    from tuneloop_server.monitoring import Monitoring

Row = TypeVar("Row", bound=Sized)
"""`len(row)` is its number of tokens."""
Output = TypeVar("Output")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Request(Generic[Output]):
    """The rows of a request, which may leave in several batches."""

    outputs: list[Output | None]
    missing: int
    answered: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Row, Output]):
    """A row in the queue."""

    row: Row
    request: _Request[Output]
    position: int
    since: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """Stands for the output of a row on which the model failed."""


class Batcher(Generic[Row, Output]):
    """Answers the rows of requests with the model's outputs."""

    def __init__(
        self,
        predict: Callable[[Sequence[Row]], Sequence[Output]],
        *,
        settings: BatchingSettings,
        monitoring: Monitoring,
        worker: Executor,
        group: Callable[[Row], object] = lambda _: None,
        pads: bool = True,
    ) -> None:
        """predict: runs a forward pass over rows, on the worker; one output per row. group: rows of different groups are never in one pass. pads: see `next_batch`."""
        self._predict = predict
        self._group = group
        self._pads = pads
        self._settings = settings
        self._monitoring = monitoring
        self._worker = worker
        self._queue: list[_Waiting[Row, Output]] = []
        self._admitted = 0
        """Rows that wait, with those of texts that are being tokenized."""
        self._arrived = asyncio.Event()
        self._last_batch = 0
        self._seconds_per_row = 0.0
        self._pass_began: float | None = None

    @property
    def waiting(self) -> int:
        """Rows that were admitted and are in no pass yet."""
        return self._admitted

    @property
    def pass_seconds(self) -> float:
        """For how long the pass under way has been running; 0 without one."""
        return 0.0 if self._pass_began is None else time.perf_counter() - self._pass_began

    async def submit(
        self, texts: int, encode: Callable[[], Awaitable[Sequence[Sequence[Row]]]]
    ) -> list[list[tuple[Row, Output]]]:
        """Return the rows of each text with their outputs. encode: makes the rows of the texts, at least one row of each.

        The queue is checked before `encode` runs, so that an overloaded server does no work for a request that it refuses.
        Raises RequestError if the queue is full or the model fails, and what `encode` raises.
        """
        self._admit(texts, f"{texts} texts were given")
        admitted = texts
        try:
            rows = await encode()
            total = sum(map(len, rows))
            self._admit(total - texts, f"the texts make {total} windows", total=total)
            admitted = total
            request: _Request[Output] = _Request([None] * total, total, asyncio.get_running_loop().create_future())
        except BaseException:
            self._admitted -= admitted
            raise
        now = time.perf_counter()
        flat = [row for rows_of_text in rows for row in rows_of_text]
        self._queue += [_Waiting(row, request, position, now) for position, row in enumerate(flat)]
        self._arrived.set()
        try:
            await request.answered
        except asyncio.CancelledError:
            self._forget(request)
            raise
        outputs = iter([output for output in request.outputs if output is not None])
        return [[(row, next(outputs)) for row in rows_of_text] for rows_of_text in rows]

    async def run(self) -> None:
        """Run passes until cancelled."""
        while True:
            await self._wait_for_batch()
            batch = self._take()
            if batch:
                await self._pass(batch)

    def _admit(self, rows: int, found: str, *, total: int | None = None) -> None:
        """Count rows as waiting. total: all rows of the request, where `rows` are only a part of them."""
        limit = self._settings.max_queue
        if (rows if total is None else total) > limit:
            message = f"inputs: {found}, at most {limit} are allowed in one request (batching.maxQueue)"
            raise RequestError(message, status=422, reason="validation")
        if self._admitted + rows > limit:
            seconds = retry_after(waiting=self._admitted, seconds_per_text=self._seconds_per_row)
            message = (
                f"{self._admitted} texts are waiting, at most {limit} may (batching.maxQueue); try again in {seconds} s"
            )
            raise RequestError(message, status=429, reason="overloaded", retry_after=seconds)
        self._admitted += rows

    async def _wait_for_batch(self) -> None:
        """Wait for a row; then, at most `max_delay_milliseconds`, for as many rows as are likely to come."""
        while not self._queue:
            await self._next_arrival()
        try:
            async with asyncio.timeout(self._settings.max_delay_milliseconds / 1000):
                while worth_waiting(waiting=len(self._queue), last_batch=self._last_batch):
                    await self._next_arrival()
        except TimeoutError:
            return

    async def _next_arrival(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    def _forget(self, request: _Request[Output]) -> None:
        """Remove the rows of a request that nobody waits for."""
        left = [waiting for waiting in self._queue if waiting.request is not request]
        self._admitted -= len(self._queue) - len(left)
        self._queue = left

    def _take(self) -> list[_Waiting[Row, Output]]:
        """Remove the next batch from the queue, and the rows of requests that have failed."""
        wanted = [waiting for waiting in self._queue if not waiting.request.answered.done()]
        places = [
            place for place, waiting in enumerate(wanted) if self._group(waiting.row) == self._group(wanted[0].row)
        ]
        lengths = [len(wanted[place].row) for place in places]
        most = self._settings.max_batch_size
        chosen = next_batch(lengths, max_batch_size=most, pads=self._pads) if wanted else []
        taken = {places[index] for index in chosen}
        left = [waiting for place, waiting in enumerate(wanted) if place not in taken]
        self._admitted -= len(self._queue) - len(left)
        self._queue = left
        return [wanted[places[index]] for index in chosen]

    async def _pass(self, batch: list[_Waiting[Row, Output]]) -> None:
        start = self._pass_began = time.perf_counter()
        loop = asyncio.get_running_loop()
        outputs = await loop.run_in_executor(self._worker, self._outputs, [waiting.row for waiting in batch])
        self._pass_began = None
        seconds = time.perf_counter() - start
        for waiting, output in zip(batch, outputs, strict=True):
            _deliver(waiting, output)
        if all(isinstance(output, _Failure) for output in outputs):
            return
        self._last_batch = len(batch)
        self._seconds_per_row = recent_rate(self._seconds_per_row, seconds=seconds, rows=len(batch))
        self._monitoring.pass_done(waited=[start - waiting.since for waiting in batch], seconds=seconds)

    def _outputs(self, rows: Sequence[Row]) -> list[Output | _Failure]:
        """Run a pass; one that fails is run again in two halves, so that a text on which the model fails fails alone."""
        try:
            return list(self._predict(rows))
        except Exception as error:  # noqa: BLE001  (whatever torch raises: the requests of these rows fail, all others are served)
            if len(rows) == 1:
                _log.exception("the model failed on a text of %d tokens", len(rows[0]))
                return [_Failure()]
            _log.warning("the model failed on a batch of %d texts, which is run again in halves: %s", len(rows), error)
        half = len(rows) // 2
        return [*self._outputs(rows[:half]), *self._outputs(rows[half:])]


def _deliver(waiting: _Waiting[Row, Output], output: Output | _Failure) -> None:
    request = waiting.request
    if isinstance(output, _Failure):
        if not request.answered.done():
            message = "the model failed on this text; the server's log says why"
            request.answered.set_exception(RequestError(message, status=500, reason="model_error"))
        return
    request.outputs[waiting.position] = output
    request.missing -= 1
    if request.missing == 0 and not request.answered.done():
        request.answered.set_result(None)
