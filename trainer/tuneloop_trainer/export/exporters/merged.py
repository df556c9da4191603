"""`model/`: the whole model in Hugging Face layout, adapters merged into its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers

from tuneloop_trainer.export.exporters.exporter import Exporter, ExportInputs
from tuneloop_trainer.models.generation import end_texts_at

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def _wanted(inputs: ExportInputs) -> bool:
    """Without `mergeAdapter` there is only the adapter: a model without the adapter in it would load, and be wrong."""
    can_merge = inputs.method.merge is not None
    return not inputs.method.is_adapter or (can_merge and inputs.settings.output.merge_adapter)


def _write(inputs: ExportInputs, model: Any, folder: Path) -> Any:
    merged: Any = model if inputs.method.merge is None else inputs.method.merge(model)
    merged.config.name_or_path = ""
    if not inputs.task.has_new_head:
        merged.config.use_cache = True  # training needs no keys and values of earlier tokens, and writing text does
    tokenizer = inputs.tokenizer()
    if getattr(merged, "generation_config", None) is not None:
        end_texts_at(merged.generation_config, tokenizer.eos_token_id)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return merged


def _load(inputs: ExportInputs, folder: Path) -> nn.Module:
    model: nn.Module = getattr(transformers, inputs.task.auto_class).from_pretrained(folder, local_files_only=True)
    return model.eval()


MERGED = Exporter(
    folder="model", format="safetensors", library="transformers", wanted=_wanted, write=_write, load=_load
)
