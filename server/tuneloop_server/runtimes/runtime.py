"""The seam `Runtime`: what loads a model and computes its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.adapters import Adapters
    from tuneloop_server.generation.model import GeneratingModel
    from tuneloop_server.model import Model
    from tuneloop_server.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A way to run a model."""

    name: str
    load: Callable[[ServerConfig, Manifest, Task[Any]], Model]
    """Loads the model of a checked artifact, in a thread. Raises CannotServe. Heavy imports belong into this function: the server must
    answer `/healthz` while they run."""
    load_adapters: Callable[[ServerConfig, Manifest, Adapters, Task[Any]], Mapping[str | None, Model]] | None = None
    """Loads a base model with adapters likewise. Returns a model for each adapter by its name, and for None the base model's own, if it has one; `predict` of
    each takes windows of all. None: the runtime serves no adapters."""
    load_generators: (
        Callable[[ServerConfig, Manifest, Adapters, Task[Any]], Mapping[str | None, GeneratingModel]] | None
    ) = None
    """Loads a model that generates text, and the adapters on it, if there are any, likewise; all share one decoder. None: the runtime generates none."""
