"""Publishes a trained tiny model in every form that its method has, without a prepared data set, and compares the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tiny_architectures import PAD, inputs
from transformers import AutoTokenizer

from tuneloop_api.contract.results import PrepareResult, Resolved, TrainResult
from tuneloop_trainer.export.exporters import write_all
from tuneloop_trainer.export.exporters.exporter import ExportInputs
from tuneloop_trainer.models.load_trained import load_trained
from tuneloop_trainer.models.trained import TrainedModel, write_trained

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tuneloop_api.contract.settings import Settings


class Inputs(ExportInputs):
    """What the exporters ask for, without a prepared data set."""

    pad_token_id = PAD

    def tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.prepared.model_path)


def logits(model: Any, *, task: str = "") -> torch.Tensor:
    """Return the logits of all tokens, or rows, that are no padding."""
    with torch.no_grad():
        output = model.eval()(**inputs(task))
    is_of_spans = "start_logits" in output
    found = torch.stack([output.start_logits, output.end_logits], dim=-1) if is_of_spans else output.logits
    return found[inputs()["attention_mask"].bool()] if found.ndim == 3 else found


def published_logits(
    folder: Path, base: Path, settings: Settings, weights: Mapping[str, torch.Tensor], *, labels: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Publish trained weights; return the logits of the model with these weights, as `trained`, and those of each form from its own files.

    base: folder of the pre-trained model, with its tokenizer.
    """
    description = TrainedModel(method=settings.method, labels=list(labels), pad_token_id=PAD, step=1)
    write_trained(folder / "weights", weights, description)
    given = Inputs(
        settings=settings,
        prepared=PrepareResult.model_construct(
            model_path=str(base), resolved=Resolved.model_construct(labels=list(labels))
        ),
        trained=TrainResult.model_construct(weights_path=str(folder / "weights")),
    )
    model = load_trained(base, folder / "weights", task=given.task)
    found = {"trained": logits(model, task=settings.task)}
    for exporter in write_all(folder, given, model):
        found[exporter.folder] = logits(exporter.load(given, folder / exporter.folder), task=settings.task)
    return found
