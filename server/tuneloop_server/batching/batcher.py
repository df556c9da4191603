"""The queue in front of the model: requests gather while a pass runs, and leave in batches that `batch_plan` chooses.

The event loop plans and answers; one worker thread runs the model. The next pass starts before the answers of the last one are written.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_server.batching.batch_plan import next_batch, retry_after, worth_waiting
from tuneloop_server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from tuneloop_api.contract.server_config import BatchingSettings
    from tuneloop_server.monitoring import Monitoring
    from tuneloop_server.predictions import Classifier, Encoded, Prediction

_ENCODE_HERE = 8192
"""Characters that are tokenized on the event loop (well under 2 ms); more would hold up other requests and probes."""
_SMOOTHING = 0.2
"""Weight of the newest pass in the recent rate."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Request:
    """The texts of one request, which may leave in several batches."""

    predictions: list[Prediction | None]
    missing: int
    answered: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One text in the queue."""

    encoded: Encoded
    request: _Request
    position: int
    since: float


class Batcher:
    """Answers lists of texts with lists of predictions in the same order."""

    def __init__(
        self, model: Classifier, *, settings: BatchingSettings, monitoring: Monitoring, worker: Executor
    ) -> None:
        self._model = model
        self._settings = settings
        self._monitoring = monitoring
        self._worker = worker
        self._queue: list[_Waiting] = []
        self._admitted = 0
        """Texts that wait, those that are being tokenized included."""
        self._arrived = asyncio.Event()
        self._last_batch = 0
        self._seconds_per_text = 0.0

    @property
    def waiting(self) -> int:
        """Texts that were taken in and are in no pass yet."""
        return self._admitted

    async def classify(self, texts: Sequence[str]) -> list[Prediction]:
        """Return one prediction per text. Raises RequestError if the queue is full, a text has no token, or the model fails."""
        self._admit(len(texts))
        try:
            encoded = await self._encode(texts)
            _refuse_empty(encoded)
        except BaseException:
            self._admitted -= len(texts)
            raise
        request = _Request([None] * len(texts), len(texts), asyncio.get_running_loop().create_future())
        now = time.perf_counter()
        self._queue += [_Waiting(text, request, position, now) for position, text in enumerate(encoded)]
        self._arrived.set()
        await request.answered
        return [prediction for prediction in request.predictions if prediction is not None]

    async def run(self) -> None:
        """Run passes until cancelled."""
        while True:
            await self._wait_for_batch()
            batch = self._take()
            if batch:
                await self._pass(batch)

    def _admit(self, texts: int) -> None:
        limit = self._settings.max_queue
        if texts > limit:
            message = (
                f"inputs: {texts} texts were given, at most {limit} are allowed in one request (batching.maxQueue)"
            )
            raise RequestError(message, status=422, reason="validation")
        if self._admitted + texts > limit:
            seconds = retry_after(waiting=self._admitted, seconds_per_text=self._seconds_per_text)
            message = (
                f"{self._admitted} texts are waiting, at most {limit} may (batching.maxQueue); try again in {seconds} s"
            )
            raise RequestError(message, status=429, reason="overloaded", retry_after=seconds)
        self._admitted += texts

    async def _encode(self, texts: Sequence[str]) -> list[Encoded]:
        if sum(map(len, texts)) <= _ENCODE_HERE:
            return self._model.encode(texts)
        return await asyncio.to_thread(self._model.encode, texts)

    async def _wait_for_batch(self) -> None:
        """Wait for a text; then, at most `max_delay_milliseconds`, for as many as are likely to come."""
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

    def _take(self) -> list[_Waiting]:
        """Remove the next batch from the queue, and the texts that nobody waits for any more."""
        wanted = [text for text in self._queue if not text.request.answered.done()]
        chosen = (
            next_batch([len(text.encoded.ids) for text in wanted], max_batch_size=self._settings.max_batch_size)
            if wanted
            else []
        )
        taken = set(chosen)
        left = [text for index, text in enumerate(wanted) if index not in taken]
        self._admitted -= len(self._queue) - len(left)
        self._queue = left
        return [wanted[index] for index in chosen]

    async def _pass(self, batch: list[_Waiting]) -> None:
        start = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            predictions = await loop.run_in_executor(
                self._worker, self._model.predict, [text.encoded for text in batch]
            )
        except Exception:  # noqa: BLE001  (whatever torch raises: these requests fail, the next ones are served)
            _log.exception("the model failed on a batch of %d texts", len(batch))
            self._fail(batch)
            return
        seconds = time.perf_counter() - start
        self._last_batch = len(batch)
        recent = self._seconds_per_text or seconds / len(batch)
        self._seconds_per_text = recent + _SMOOTHING * (seconds / len(batch) - recent)
        for text, prediction in zip(batch, predictions, strict=True):
            _deliver(text, prediction)
        self._monitoring.pass_done(waited=[start - text.since for text in batch], seconds=seconds)

    def _fail(self, batch: list[_Waiting]) -> None:
        for text in batch:
            if not text.request.answered.done():
                message = "the model failed on this text; the server's log says why"
                text.request.answered.set_exception(RequestError(message, status=500, reason="model_error"))


def _refuse_empty(texts: Sequence[Encoded]) -> None:
    """Raise RequestError for a text without a token: tokenizers that add none of their own make nothing of an empty text."""
    for number, text in enumerate(texts, start=1):
        if not text.ids:
            raise RequestError(
                f"inputs: the tokenizer makes no token of text {number}, at least one is needed",
                status=422,
                reason="validation",
            )


def _deliver(text: _Waiting, prediction: Prediction) -> None:
    request = text.request
    request.predictions[text.position] = prediction
    request.missing -= 1
    if request.missing == 0 and not request.answered.done():
        request.answered.set_result(None)
