"""Adds `onnx/` to an artifact of a test, as `export` writes it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from artifact import write_manifest

from tuneloop_api.contract.artifact import ONNX_FOLDER, ONNX_FP32, ONNX_INT8
from tuneloop_server.tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    from server_process import Artifact

    from tuneloop_api.contract.artifact import Manifest


def with_onnx(artifact: Artifact, folder: Path) -> Manifest:
    """Write a copy of an artifact with both ONNX files into a folder; returns its manifest."""
    import torch
    import transformers

    from tuneloop_trainer.export.exporters.onnx_model import write_graph
    from tuneloop_trainer.export.onnx_int8 import quantize

    manifest = artifact.manifest
    shutil.copytree(artifact.folder / "model", folder / "model")
    target = folder / ONNX_FOLDER
    shutil.copytree(folder / "model", target, ignore=shutil.ignore_patterns("*.safetensors"))
    auto_class = getattr(transformers, TASKS[manifest.task].auto_class)
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 7, 3, 0, 0]])
    write_graph(
        auto_class.from_pretrained(folder / "model").eval(),
        target / ONNX_FP32,
        {"input_ids": ids, "attention_mask": (ids != 0).long()},
    )
    quantize(target / ONNX_FP32, target / ONNX_INT8)
    return write_manifest(
        folder,
        manifest.labels,
        name=manifest.name,
        max_tokens=manifest.max_tokens,
        temperature=manifest.temperature,
        task=manifest.task,
    )
