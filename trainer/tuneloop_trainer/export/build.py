"""Makes the files that hold the model: `model/` in Hugging Face layout, and for LoRA `adapter/` in PEFT's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_trainer import methods
from tuneloop_trainer.dataset.shards import TOKENIZER, read_manifest
from tuneloop_trainer.methods import lora
from tuneloop_trainer.tasks.text_classification import load_model

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.results import PrepareResult, TrainResult
    from tuneloop_api.contract.run_config import Settings

MODEL, ADAPTER = "model", "adapter"


def write_model(folder: Path, *, settings: Settings, prepared: PrepareResult, trained: TrainResult) -> list[str]:
    """Write what `settings.output` asks for; return the names of the folders written, `model` first.

    Without `mergeAdapter` there is only `adapter/`: a `model/` without the adapter in it would load, and be wrong.
    """
    model: Any = methods.rebuild(Path(prepared.model_path), Path(trained.weights_path))
    tokenizer = _tokenizer(prepared)
    written = []
    if settings.method.type == "lora":
        _write_adapter(model, folder / ADAPTER, base=base_model_name(settings))
        tokenizer.save_pretrained(folder / ADAPTER)
        written.append(ADAPTER)
        if not settings.output.merge_adapter:
            return written
        model = lora.merge(model)
    model.config.name_or_path = ""
    model.save_pretrained(folder / MODEL)
    tokenizer.save_pretrained(folder / MODEL)
    return [MODEL, *written]


def load_written(folder: Path, *, prepared: PrepareResult) -> nn.Module:
    """Load `model/` or `adapter/` from its files, as anyone would."""
    if folder.name == MODEL:
        model: nn.Module = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
        return model.eval()
    pad_token_id = read_manifest(Path(prepared.dataset_path)).tokenizer.pad_token_id
    base = load_model(
        Path(prepared.model_path), labels=prepared.resolved.labels, pad_token_id=pad_token_id, dropout=None, seed=0
    )
    return PeftModel.from_pretrained(base, str(folder)).eval()


def base_model_name(settings: Settings) -> str:
    """Return `ORG/NAME` for a model of the hub, the URI for any other."""
    return settings.model.uri.removeprefix(HUB_SCHEME)


def _write_adapter(model: Any, folder: Path, *, base: str) -> None:
    """Write the adapter with the same bytes in every process: PEFT keeps `target_modules` as a set, and writes it in any order."""
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(folder, save_embedding_layers=False)  # else PEFT looks for the base model on the hub
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty form; the artifact has a model card of its own


def _tokenizer(prepared: PrepareResult) -> Any:
    """Return the tokenizer that made the training tokens, set to cut and pad as training did."""
    dataset = Path(prepared.dataset_path)
    tokenizer = AutoTokenizer.from_pretrained(dataset / TOKENIZER, local_files_only=True)
    tokenizer.model_max_length = prepared.resolved.max_tokens
    tokenizer.padding_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = read_manifest(dataset).tokenizer.pad_token_id
    return tokenizer
