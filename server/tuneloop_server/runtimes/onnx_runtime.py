"""The runtime `onnx`. It imports ONNX Runtime only when it loads a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_server.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.model import Model
    from tuneloop_server.tasks.task import Task


def _load(config: ServerConfig, manifest: Manifest, task: Task[Any]) -> Model:
    from tuneloop_server.runtimes.onnx_model import load  # noqa: PLC0415  (takes seconds; see Runtime.load)

    return load(config, manifest, task)


ONNX = Runtime(name="onnx", load=_load)
