"""Adapters of tiny models as artifacts: built and written by the trainer's own code, with weights that are far from those that training begins with."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from artifact import write_manifest
from tiny_architectures import PAD, save_base, save_tokenizer, save_with_head
from transformers import AutoTokenizer

from tuneloop_api.contract.artifact import MANIFEST, AdapterBase, ArtifactFile, Manifest
from tuneloop_api.contract.results import PrepareResult, Resolved, TrainResult
from tuneloop_api.contract.settings import MethodSettings, Settings
from tuneloop_api.wire.model import changed
from tuneloop_trainer.export.exporters.adapter import ADAPTER
from tuneloop_trainer.export.exporters.exporter import ExportInputs
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LABELS = ("bad", "fine", "good")
LORA = MethodSettings(type="lora", rank=4)


class _Inputs(ExportInputs):
    """What the exporter asks for, without a prepared data set."""

    pad_token_id = PAD

    def tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.prepared.model_path)


def base_folder(folder: Path, model_type: str) -> Path:
    """Write a pre-trained model without a head, in Hugging Face layout; returns the folder."""
    save_base(folder, model_type)
    save_tokenizer(folder)
    return folder


def base_artifact(folder: Path, model_type: str, labels: Sequence[str] = LABELS) -> Manifest:
    """Write an artifact with a whole model, which answers for text classification itself; returns its manifest."""
    save_with_head(folder / "model", model_type, task=TASKS["text-classification"], labels=labels)
    save_tokenizer(folder / "model")
    return write_manifest(folder, labels, name="base", max_tokens=32, temperature=1.0)


def adapter_artifact(
    folder: Path,
    base: Path,
    *,
    seed: int,
    labels: Sequence[str] = LABELS,
    task: str = "text-classification",
    max_tokens: int = 32,
    temperature: float = 1.5,
    method: MethodSettings = LORA,
) -> Manifest:
    """Write an artifact with an adapter alone; returns its manifest. base: folder of the model that it belongs to."""
    blocks = {"model": {"uri": "hf://tests/base"}, "task": task, "data": {"train": [{"uri": "pvc://demo/rows.csv"}]}}
    settings = Settings.model_validate(blocks | {"method": method.to_wire()})
    loaded: Any = load_model(base, task=TASKS[task], labels=labels, pad_token_id=PAD, dropout=None, seed=seed)
    model: Any = method_of(method).build(loaded, method, task=TASKS[task], seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name or ".modules_to_save." in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    inputs = _Inputs(
        settings=settings,
        prepared=PrepareResult.model_construct(
            model_path=str(base), model_revision="r1", resolved=Resolved.model_construct(labels=list(labels))
        ),
        trained=TrainResult.model_construct(),
    )
    (folder / "adapter").mkdir(parents=True)
    ADAPTER.write(inputs, model, folder / "adapter")
    write_manifest(folder, labels, name=folder.name, max_tokens=max_tokens, temperature=temperature, task=task)
    return rewrite(folder, adapter_base=AdapterBase(files=[described(base, "model.safetensors")]))


def described(folder: Path, name: str) -> ArtifactFile:
    """Return how a manifest lists a file."""
    content = (folder / name).read_bytes()
    return ArtifactFile(path=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def rewrite(folder: Path, **fields: Any) -> Manifest:
    """Change fields of an artifact's manifest, and list its files as they are now; returns the manifest."""
    manifest = Manifest.from_wire(json.loads((folder / MANIFEST).read_text()))
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = [described(folder, path) for path in paths if path != MANIFEST]
    manifest = changed(manifest, **{"files": files} | fields)
    (folder / MANIFEST).write_text(json.dumps(manifest.to_wire()), encoding="utf-8")
    return manifest
