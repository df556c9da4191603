"""What a job that asks for ONNX can be told before it begins: a model that one file cannot hold, and rows that are too few for int8. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import INT8_ROWS, ONNX_MOST_BYTES
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.preflight.feasible import gib
from tuneloop_trainer.preflight.memory_plan import FP32_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.contract.settings import OutputSettings


def refuse_too_large_for_onnx(parameters: int, output: OutputSettings) -> None:
    """Raise ConfigError if the job asks for ONNX, and one ONNX file cannot hold a model of so many parameters."""
    size = FP32_BYTES * parameters
    if output.asks_for_onnx and size > ONNX_MOST_BYTES:
        raise ConfigError(
            f"spec.output.formats: this model cannot be published as onnx: its weights have {gib(size)}, one ONNX file holds {gib(ONNX_MOST_BYTES)}",
            hint="leave onnx and onnx-int8 out of output.formats, or use a smaller model",
        )


def notes_on_int8(rows: Mapping[str, int], output: OutputSettings) -> list[str]:
    """Return a sentence if int8 will not be published for want of rows. rows: of each split."""
    held_out = rows.get("validation", 0) + rows.get("test", 0)
    if not output.asks_for_int8 or held_out >= INT8_ROWS:
        return []
    return [
        f"onnx-int8 will not be published: {held_out} held-out rows are too few to decide whether it predicts as fp32 does, {INT8_ROWS} are needed"
    ]
