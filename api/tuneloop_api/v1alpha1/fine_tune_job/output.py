"""What is published: `spec.output`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule

Format = Literal["safetensors", "onnx", "onnx-int8"]


class Output(SpecModel):
    """What is published."""

    checkpoint: Literal["best", "last"] | None = None
    """Which checkpoint is published: the `best` on the validation split by `training.bestMetric`, or the `last`. Default: `best`."""
    merge_adapter: bool | None = None
    """Whether LoRA weights are merged into the model, so that it loads without PEFT; the adapter is published besides. With false the adapter is all that is
    published: PEFT loads it beside its base model, and no ModelDeployment serves it. Applies only to `method.type: lora`. Default: true."""
    formats: Annotated[list[Format], Field(min_length=1, max_length=3)] | None = None
    """In which formats the model is published: `safetensors`, which is published always; `onnx`, a file for ONNX Runtime in fp32; `onnx-int8`, the same besides with
    linear layers in 8 bits, published only if 98 % of its predictions on 2,000 held-out rows are those of the fp32 file. Default: `[safetensors]`. For example
    `[safetensors, onnx]`."""

    rules = (
        Rule(
            field="formats",
            reason="FieldValueForbidden",
            message="onnx and onnx-int8 need the whole model: leave out mergeAdapter, or set it to true",
            cel="!has(self.formats) || !has(self.mergeAdapter) || self.mergeAdapter || self.formats.all(format, format == 'safetensors')",
            holds=lambda output: output.merge_adapter is not False or {*(output.formats or ())} <= {"safetensors"},
        ),
    )
