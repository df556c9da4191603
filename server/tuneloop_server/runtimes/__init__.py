"""What loads models and computes their outputs: one runtime a file. `RUNTIMES` is the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_server.runtimes.onnx_runtime import ONNX
from tuneloop_server.runtimes.torch_runtime import TORCH

if TYPE_CHECKING:
    from tuneloop_server.runtimes.runtime import Runtime

RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for runtime in (TORCH, ONNX)}
