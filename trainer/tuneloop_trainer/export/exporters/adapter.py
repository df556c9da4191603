"""`adapter/`: the adapter alone, in PEFT's layout; the base model is needed besides."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import PeftModel

from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_trainer.export.exporters.exporter import Exporter, ExportInputs
from tuneloop_trainer.methods.prompts import answer_for_text_alone
from tuneloop_trainer.models.generation import end_texts_at
from tuneloop_trainer.models.load import load_model

if TYPE_CHECKING:
    from torch import nn

_SETS = ("target_modules", "exclude_modules", "target_parameters", "feedforward_modules")


def _wanted(inputs: ExportInputs) -> bool:
    return inputs.method.is_adapter


def _write(inputs: ExportInputs, model: Any, folder: Path) -> Any:
    """Write the adapter with the same bytes in every process: PEFT keeps lists of modules as sets, and writes them in any order."""
    uri = inputs.settings.model.uri
    model.peft_config["default"].base_model_name_or_path = uri.removeprefix(HUB_SCHEME)
    model.peft_config["default"].revision = inputs.prepared.model_revision if uri.startswith(HUB_SCHEME) else None
    model.save_pretrained(folder, save_embedding_layers=False)  # else PEFT looks for the base model on the hub
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {name: sorted(config[name]) for name in _SETS if config.get(name)}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; the artifact has its own
    inputs.tokenizer().save_pretrained(folder)
    _write_model_config(inputs, model, folder)
    return model


def _write_model_config(inputs: ExportInputs, model: Any, folder: Path) -> None:
    """Write the config of the base model with the head of the job: it holds the names of the classes, which an adapter alone does not; and how the model writes, if it does."""
    config = copy.deepcopy(model.config)
    config.name_or_path, config.architectures = "", [type(model.get_base_model()).__name__]
    config.save_pretrained(folder)
    writing = getattr(model.get_base_model(), "generation_config", None)
    if writing is not None:
        end_texts_at(writing, inputs.tokenizer().eos_token_id)
        writing.save_pretrained(folder)


def _load(inputs: ExportInputs, folder: Path) -> nn.Module:
    base = load_model(
        Path(inputs.prepared.model_path),
        task=inputs.task,
        labels=inputs.prepared.resolved.labels,
        pad_token_id=inputs.pad_token_id,
        dropout=None,
        seed=0,
    )
    model = PeftModel.from_pretrained(base, str(folder)).eval()
    answer_for_text_alone(model)
    return model


ADAPTER = Exporter(folder="adapter", format="safetensors", library="peft", wanted=_wanted, write=_write, load=_load)
