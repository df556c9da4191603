"""`onnx/model_int8.onnx`: linear layers with weights of 8 bits, and the proof on held-out rows that it predicts as the fp32 file does.

Each column of a weight has its own scale, and inputs are scaled batch by batch. Weights use 7 of the 8 bits: CPUs without VNNI add pairs of products in 16 bits,
where 8 would overflow, and nobody knows here on which CPU the file will be served.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuneloop_api.contract.artifact import INT8_ROWS, ONNX_FP32, ONNX_INT8, Int8File
from tuneloop_trainer.dataset.shards import open_split
from tuneloop_trainer.export.exporters.onnx_model import OnnxSession
from tuneloop_trainer.export.parity import BATCH
from tuneloop_trainer.failures import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.tasks.task import Task

LOG = logging.getLogger(__name__)
LEAST_AGREEMENT = 0.98
_LINEAR = ["MatMul", "Gemm"]


def write_int8(folder: Path, *, dataset: Path, task: Task, pad_token_id: int, rows: int = INT8_ROWS) -> Int8File:
    """Write `model_int8.onnx` beside `model.onnx`, and keep it only if it predicts as that does. Never fails the export.

    rows: held-out rows that are needed and compared.
    """
    held_out = held_out_rows(dataset, rows=rows)
    found = sum(len(chosen) for _, chosen in held_out)
    if found < rows:
        return _refused(0, None, f"{found} held-out rows are too few to decide, at least {rows} are needed")
    path = folder / ONNX_INT8
    try:
        quantize(folder / ONNX_FP32, path)
        agreement = _agreement(folder, held_out, task=task, pad_token_id=pad_token_id)
    except MemoryError:
        raise
    except Exception as error:
        LOG.info("quantizing failed", exc_info=True)
        path.unlink(missing_ok=True)
        return _refused(0, None, f"it cannot be written: {first_line(error)}")
    if agreement < LEAST_AGREEMENT:
        path.unlink()
        least = f"at least {LEAST_AGREEMENT:.0%} must be"
        return _refused(found, agreement, f"{agreement:.1%} of its predictions are those of the fp32 file, {least}")
    return Int8File(rows=found, agreement=agreement, least_agreement=LEAST_AGREEMENT)


def held_out_rows(dataset: Path, *, rows: int) -> list[tuple[TokenizedSplit, NDArray[np.int64]]]:
    """Return splits and indexes of their rows, together at most `rows`: test rows, spread evenly, then validation rows."""
    left, found = rows, []
    for name in ("test", "validation"):
        split = open_split(dataset, name)
        count = min(left, len(split.rows))
        found.append((split, np.unique(np.linspace(0, len(split.rows) - 1, count).astype(np.int64))))
        left -= len(found[-1][1])
    return found


def quantize(source: Path, target: Path) -> None:
    """Write an ONNX file with the weights of linear layers in 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415  (only jobs that ask for ONNX need it)

    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)  # it advises steps for convolutions, which no model here has, on the root logger
    try:
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=_LINEAR,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        root.setLevel(before)


def _agreement(
    folder: Path, held_out: list[tuple[TokenizedSplit, NDArray[np.int64]]], *, task: Task, pad_token_id: int
) -> float:
    fp32, int8 = (OnnxSession(folder / name) for name in (ONNX_FP32, ONNX_INT8))
    same = total = 0
    for inputs, labels in _batches(held_out, task=task, pad_token_id=pad_token_id):
        first, second = (
            task.choose(task.target_values(model(**inputs), labels).float().numpy()) for model in (fp32, int8)
        )
        same += same_choices(first, second)
        total += len(first)
    return same / total


def same_choices(first: NDArray[np.int64], second: NDArray[np.int64]) -> int:
    """Return for how many targets, perhaps none, two models choose the same: class ids, [M], or 0 and 1 for each label, [M, C]."""
    return int((first == second).all(axis=tuple(range(1, first.ndim))).sum())


def _batches(
    held_out: list[tuple[TokenizedSplit, NDArray[np.int64]]], *, task: Task, pad_token_id: int
) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    for split, rows in held_out:
        for start in range(0, len(rows), BATCH):
            batch = task.collate(split, rows[start : start + BATCH], pad_token_id)
            yield (
                {name: torch.from_numpy(array) for name, array in batch.inputs.items()},
                torch.from_numpy(batch.labels),
            )


def _refused(rows: int, agreement: float | None, reason: str) -> Int8File:
    LOG.warning("onnx-int8 is not published: %s", reason)
    return Int8File(rows=rows, agreement=agreement, least_agreement=LEAST_AGREEMENT, refusal=reason)
