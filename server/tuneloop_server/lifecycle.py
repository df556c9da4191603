"""The life of the served model: it is loaded in the background, then answers texts until the server stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.adapters import NO_ADAPTERS, Adapters, check_all_files
from tuneloop_server.answering import Answerer
from tuneloop_server.batching.batcher import Batcher
from tuneloop_server.body_memory import BodyMemory
from tuneloop_server.errors import CannotServe, RequestError
from tuneloop_server.generating import Generators, TextGenerator
from tuneloop_server.load_errors import cannot_load
from tuneloop_server.model_names import ModelNames
from tuneloop_server.tasks.task import ModelFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.features import FeatureCounts
    from tuneloop_server.feedback.feedback import Feedback
    from tuneloop_server.generation.model import GeneratingModel
    from tuneloop_server.model import Embedding, EmbeddingSupport, Encoded, Model, Output
    from tuneloop_server.monitoring import Monitoring
    from tuneloop_server.runtimes.runtime import Runtime
    from tuneloop_server.tasks.task import Answer, Task

_STUCK_SECONDS = 120.0
"""A forward pass that takes longer stands still: a volume that does not answer, a driver that hangs. The server gets no new requests meanwhile."""
_LOST_SECONDS = 300.0
"""A pass that takes so long never ends: the server is to be started again. Routers give up a request after as long."""
_log = logging.getLogger(__name__)


class ModelService:
    """The model as the routes use it: whether it is loaded, whether the server is stopping, and its answers."""

    def __init__(
        self,
        config: ServerConfig,
        manifest: Manifest,
        *,
        task: Task[Any],
        runtime: Runtime,
        monitoring: Monitoring,
        worker: Executor,
        adapters: Adapters = NO_ADAPTERS,
        feedback: Feedback | None = None,
        features: FeatureCounts | None = None,
    ) -> None:
        """feedback: gives out tokens and counts labels; None: there is none. features: of the model itself, not of adapters; None: the artifact has no bins."""
        self.config = config
        self.manifest = manifest
        self.adapters = adapters
        self.names = ModelNames(
            deployment=config.name,
            adapters=tuple(adapter.name for adapter in adapters.adapters),
            has_own_model=adapters.has_own_model,
        )
        self.task = task
        self.monitoring = monitoring
        self.draining = False
        self.bodies = BodyMemory()
        self.feedback = feedback
        if adapters.adapters:
            monitoring.show_adapters(self.names.served)
        self._generation = (
            None if task.generating is None else Generators(task.generating, config, monitoring, worker, features)
        )
        self._features = features
        self._runtime = runtime
        self._worker = worker
        self._answerers: Mapping[str | None, Answerer | TextGenerator] | None = None
        """By the names of adapters; None stands for the model itself."""
        self._pass_seconds: Callable[[], float] = lambda: 0.0

    def manifest_of(self, adapter: str | None) -> Manifest:
        """Return the manifest of an adapter, or for None that of the model."""
        by_name = {found.name: found.manifest for found in self.adapters.adapters}
        return self.manifest if adapter is None else by_name[adapter]

    @property
    def not_ready_reason(self) -> str | None:
        """Why the server should get no new traffic; None if it is ready."""
        if self.draining:
            return "the server is being stopped"
        if self._answerers is None:
            return "the model is being loaded"
        return self._stuck(_STUCK_SECONDS)

    @property
    def lost_reason(self) -> str | None:
        """Why only a restart helps; None if the server works."""
        return self._stuck(_LOST_SECONDS)

    def _stuck(self, limit: float) -> str | None:
        seconds = self._pass_seconds()
        return f"a forward pass has been running for {seconds:.0f} s" if seconds > limit else None

    def drain(self) -> None:
        """Become not ready. Requests that still arrive are answered."""
        self.draining = True
        self.monitoring.draining.set(1)

    async def answer(self, texts: Sequence[str], parameters: Any, *, name: str | None = None) -> list[Any]:
        """Return the task's response for each text, as JSON data. Raises RequestError: see `answers`."""
        return [answer.value for answer in await self.answers(texts, parameters, name=name)]

    async def answers(
        self, texts: Sequence[str], parameters: Any, *, name: str | None = None, is_traffic: bool = True
    ) -> list[Answer]:
        """Return the task's answer for each text. parameters: from `task.read_parameters`. name: one that is served; None: the deployment's.

        is_traffic: the texts are of a client, and count as features; not those of a comparator, which come again and again.

        Raises RequestError while the model is not loaded, when the queue is full, if a text has no token, if the model fails, or if its
        output is not finite.
        """
        answers = await self._loaded(name).answer(texts, parameters, is_traffic=is_traffic)
        self.monitoring.answered_by(self.config.name if name is None else name, texts=len(texts))
        return answers

    def embeddings_of(self, name: str) -> EmbeddingSupport:
        """Return whether a model makes embeddings. Raises RequestError while the model is not loaded."""
        return self._loaded(name).embeddings

    def generator_of(self, name: str) -> TextGenerator:
        """Return what answers prompts, of a task that generates. Raises RequestError while the model is not loaded."""
        generator = self._loaded(name)
        assert isinstance(generator, TextGenerator)
        return generator

    async def embed(self, texts: Sequence[str], *, name: str) -> list[tuple[Encoded, Embedding]]:
        """Return the tokens and the embedding of each text. Raises RequestError as `answer` does, and if the model makes no embeddings."""
        return await self._loaded(name).embed(texts)

    def _loaded(self, name: str | None) -> Answerer | TextGenerator:
        if self._answerers is None:
            message = "the model is being loaded; try again in 1 s"
            raise RequestError(message, status=503, reason="unavailable", retry_after=1)
        return self._answerers[self.names.adapter(self.config.name if name is None else name)]

    async def run(self) -> None:
        """Load the model, then run forward passes until cancelled. Raises CannotServe if the model cannot be loaded in `startupSeconds`."""
        start = time.monotonic()
        models = await self._load()
        batcher, answerers = (
            await self._predicting(models) if self._generation is None else self._generation.start(models)
        )
        self.monitoring.watch_queue(lambda: batcher.waiting)
        self._pass_seconds = lambda: batcher.pass_seconds
        self.monitoring.model_loaded(time.monotonic() - start)
        self._answerers = answerers
        _log.info("ready: %s loaded in %.1f s", self.config.artifact_uri, time.monotonic() - start)
        await batcher.run()

    async def _predicting(
        self, models: Mapping[str | None, Model]
    ) -> tuple[Batcher[Encoded, Output], Mapping[str | None, Answerer]]:
        if self._features is not None and None in models:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._features.project, models[None])
        predict = next(iter(models.values())).predict  # takes the windows of all models
        batcher = Batcher(
            predict,
            settings=self.config.batching,
            monitoring=self.monitoring,
            worker=self._worker,
            group=lambda window: window.adapter,
            pads=any(model.pads for model in models.values()),
        )
        return batcher, {key: self._answerer(key, model, batcher) for key, model in models.items()}

    def _answerer(self, key: str | None, model: Model, batcher: Batcher[Encoded, Output]) -> Answerer:
        described = self.manifest_of(key)
        facts = ModelFacts.of(described, model.vocabulary)
        return Answerer(
            model,
            task=self.task,
            facts=facts,
            batcher=batcher,
            monitoring=self.monitoring,
            features=self._features if key is None else None,
        )

    async def _load(self) -> Mapping[str | None, Any]:
        """Return a model for each name: one that predicts, or one that generates. Raises CannotServe."""
        limit = self.config.startup_seconds
        load = partial(
            _checked_models, self.config, self.manifest, self.adapters, task=self.task, runtime=self._runtime
        )
        try:
            async with asyncio.timeout(limit):
                return await asyncio.get_running_loop().run_in_executor(self._worker, load)
        except TimeoutError:
            message = f"{self.config.artifact_uri}: the model was not loaded within {limit} s (lifecycle.startup); allow more time"
            raise CannotServe(
                message,
                exit_code=ExitCode.HANG,
                failure_class=ServingFailureClass.MODEL_LOAD_FAILED,
                hint="Give lifecycle.startup more time, or resources.cpu more cores; a volume that is slow is read once for the check and once to load",
            ) from None


def _checked_models(
    config: ServerConfig, manifest: Manifest, adapters: Adapters, *, task: Task[Any], runtime: Runtime
) -> Mapping[str | None, Model | GeneratingModel]:
    check_all_files(config, manifest, adapters)
    gc.disable()  # imported objects stay for good: collections need not walk over them, neither now nor while requests wait
    try:
        if task.generating is not None:
            assert runtime.load_generators is not None  # `require_generator` has refused such a runtime
            return runtime.load_generators(config, manifest, adapters, task)
        if not adapters.adapters:
            return {None: runtime.load(config, manifest, task)}
        assert runtime.load_adapters is not None  # `runtime_of` has refused such a runtime
        return runtime.load_adapters(config, manifest, adapters, task)
    except CannotServe:
        raise
    except (
        Exception
    ) as error:  # an architecture's code raises what it likes; a library that finds no memory even at its import
        raise cannot_load(f"{config.artifact_uri}: the model", error) from error
    finally:
        gc.freeze()
        gc.enable()
