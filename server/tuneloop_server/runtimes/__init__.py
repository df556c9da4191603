"""What loads models and computes their outputs: one runtime a file. `RUNTIMES` is the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes.onnx_runtime import ONNX
from tuneloop_server.runtimes.torch_runtime import TORCH

if TYPE_CHECKING:
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.runtimes.runtime import Runtime
    from tuneloop_server.tasks.task import Task

RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for runtime in (TORCH, ONNX)}


_DECODER = "AutoModelForCausalLM"


def runtime_of(config: ServerConfig) -> Runtime:
    """Return the runtime of a server. Raises CannotServe if this release does not know it, or if it cannot serve the adapters."""
    name = TORCH.name if config.engine is None else config.engine
    if name not in RUNTIMES:
        message = f"runtime.engine: {name} is not known to this server, it knows {', '.join(RUNTIMES)}"
        raise CannotServe(message, exit_code=ExitCode.CONFIG)
    runtime = RUNTIMES[name]
    if config.adapters and runtime.load_adapters is None:
        message = f"spec.adapters: runtime.engine: {name} serves no adapters, allowed is {TORCH.name}"
        raise CannotServe(message, exit_code=ExitCode.CONFIG)
    return runtime


def require_generator(config: ServerConfig, runtime: Runtime, task: Task[Any]) -> None:
    """Raise CannotServe for a task that generates text, if the runtime generates none, or if adapters are to be served on a model that is no decoder."""
    if task.generating is None:
        return
    if runtime.load_generators is None:
        message = f"runtime.engine: {runtime.name} generates no text: its file has no keys and values of earlier tokens; allowed is {TORCH.name}"
        raise CannotServe(message, exit_code=ExitCode.CONFIG)
    if config.adapters and task.auto_class != _DECODER:
        message = f"spec.adapters: {task.name} serves no adapters beside a base model; run the job with output.mergeAdapter: true, the default, and serve its artifact"
        raise CannotServe(message, exit_code=ExitCode.CONFIG)
