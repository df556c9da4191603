"""The life of the served model: it is loaded in the background, then answers requests until the server stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.artifact import check_files
from tuneloop_server.batching.batcher import Batcher
from tuneloop_server.errors import CannotServe, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.monitoring import Monitoring
    from tuneloop_server.predictions import Classifier, Prediction

_log = logging.getLogger(__name__)


class ModelService:
    """The model as the routes use it: whether it is loaded, whether the server is stopping, and its predictions."""

    def __init__(self, config: ServerConfig, manifest: Manifest, *, monitoring: Monitoring, worker: Executor) -> None:
        self.config = config
        self.manifest = manifest
        self.monitoring = monitoring
        self.draining = False
        self._worker = worker
        self._batcher: Batcher | None = None

    @property
    def not_ready_reason(self) -> str | None:
        """Why the server should get no new traffic; None if it is ready."""
        if self.draining:
            return "the server is being stopped"
        return "the model is being loaded" if self._batcher is None else None

    def drain(self) -> None:
        """Become not ready. Requests that still arrive are answered."""
        self.draining = True
        self.monitoring.draining.set(1)

    async def classify(self, texts: Sequence[str]) -> list[Prediction]:
        """Return one prediction per text. Raises RequestError while the model is not loaded, when the queue is full, or if the model fails."""
        if self._batcher is None:
            raise RequestError(
                "the model is being loaded; try again in 1 s", status=503, reason="unavailable", retry_after=1
            )
        predictions = await self._batcher.classify(texts)
        self.monitoring.predicted(predictions)
        return predictions

    async def run(self) -> None:
        """Load the model, then run forward passes until cancelled. Raises CannotServe if the model cannot be loaded in `startupSeconds`."""
        start = time.monotonic()
        model = await self._load()
        batcher = Batcher(model, settings=self.config.batching, monitoring=self.monitoring, worker=self._worker)
        self.monitoring.watch_queue(lambda: batcher.waiting)
        self.monitoring.model_loaded(time.monotonic() - start)
        self._batcher = batcher
        _log.info("ready: %s loaded in %.1f s", self.config.artifact_uri, time.monotonic() - start)
        await batcher.run()

    async def _load(self) -> Classifier:
        limit = self.config.startup_seconds
        try:
            async with asyncio.timeout(limit):
                return await asyncio.get_running_loop().run_in_executor(self._worker, _load, self.config, self.manifest)
        except TimeoutError:
            message = f"{self.config.artifact_uri}: the model was not loaded within {limit} s (lifecycle.startup); allow more time"
            raise CannotServe(message, exit_code=ExitCode.HANG) from None


def _load(config: ServerConfig, manifest: Manifest) -> Classifier:
    check_files(config, manifest)
    gc.disable()  # imported objects stay for good: collections need not walk over them, neither now nor while requests wait
    try:
        from tuneloop_server.runtimes.torch_model import load  # noqa: PLC0415  (importing torch takes seconds, in which /healthz must already answer)

        return load(config, manifest)
    finally:
        gc.freeze()
        gc.enable()
