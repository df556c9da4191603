"""The runtime `torch`. It imports torch only when it loads a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_server.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.adapters import Adapters
    from tuneloop_server.generation.model import GeneratingModel
    from tuneloop_server.model import Model
    from tuneloop_server.tasks.task import Task


def _load(config: ServerConfig, manifest: Manifest, task: Task[Any]) -> Model:
    from tuneloop_server.runtimes.torch_model import load  # noqa: PLC0415  (takes seconds; see Runtime.load)

    return load(config, manifest, task)


def _load_adapters(
    config: ServerConfig, manifest: Manifest, adapters: Adapters, task: Task[Any]
) -> Mapping[str | None, Model]:
    from tuneloop_server.runtimes.torch_adapters import load_adapters  # noqa: PLC0415  (as above; PEFT as well)

    return load_adapters(config, manifest, adapters, task)


def _load_generators(
    config: ServerConfig, manifest: Manifest, adapters: Adapters, task: Task[Any]
) -> Mapping[str | None, GeneratingModel]:
    if not adapters.adapters:
        from tuneloop_server.runtimes.torch_generator import load_generator  # noqa: PLC0415  (as above)

        return {None: load_generator(config, manifest, task)}
    from tuneloop_server.runtimes.torch_adapted_generator import load_adapted_generators  # noqa: PLC0415  (as above; PEFT as well)

    return load_adapted_generators(config, manifest, adapters, task)


TORCH = Runtime(name="torch", load=_load, load_adapters=_load_adapters, load_generators=_load_generators)
