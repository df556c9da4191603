"""What computes the predictions: `spec.runtime`."""

from __future__ import annotations

from typing import Literal

from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import applies_only


class RuntimeOptions(SpecModel):
    """What computes the predictions."""

    engine: Literal["auto", "torch", "onnx"] | None = None
    """Which library runs the model: `torch` takes `model/` of the artifact, `onnx` (ONNX Runtime) takes `onnx/`, which a FineTuneJob publishes with
    `output.formats: [safetensors, onnx]`; `auto` is torch in this release. Embeddings need torch. Default: `auto`."""
    dtype: Literal["auto", "fp32", "int8"] | None = None
    """Numbers that the linear layers compute in: `fp32`, or `int8`, which takes the file of `output.formats: [onnx-int8]`; `auto` is fp32. Applies only to
    `engine: onnx`. Default: `auto`."""

    rules = (
        applies_only(
            "dtype",
            to="engine: onnx",
            cel="self.?engine.orValue('auto') == 'onnx'",
            holds=lambda runtime: runtime.engine == "onnx",
        ),
    )
