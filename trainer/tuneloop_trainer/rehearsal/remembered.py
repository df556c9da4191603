"""Remembers what was rehearsed, so that a `prepare` that runs again for the same job does not repeat it."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.canonical import digest_of
from tuneloop_trainer.durable import replace_durably

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneloop_api.contract.results import PrepareResult
    from tuneloop_api.contract.settings import Settings

_OF_THE_MODEL = ("dropout", "neftune_alpha", "layerwise_lr_decay", "gradient_checkpointing")
_PROGRAMS = ("tuneloop", "torch", "transformers", "peft", "tokenizers", "safetensors", "onnx", "onnxruntime")


def remembered(file: Path, settings: Settings, prepared: PrepareResult, *, rehearse: Callable[[], str]) -> str:
    """Return what `file` holds about a rehearsal of the same inputs; else rehearse and write it there. A rehearsal that fails is not remembered."""
    digest = rehearsal_digest(settings, prepared)
    found = _read(file)
    if found.get("digest") == digest and isinstance(found.get("done"), str):
        return str(found["done"])
    done = rehearse()
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_durably(file, json.dumps({"digest": digest, "done": done}).encode())
    return done


def rehearsal_digest(settings: Settings, prepared: PrepareResult) -> str:
    """Return a hash of all that a rehearsal depends on: the model, the data, the plan, the settings, and the versions of the programs."""
    training = settings.training
    return digest_of(
        {
            "programs": {name: _version(name) for name in _PROGRAMS},
            "model": prepared.model_revision,
            "data": prepared.dataset_digest,
            "labels": prepared.resolved.labels,
            "maxTokens": prepared.resolved.max_tokens,
            "precision": prepared.resolved.precision,
            "task": [settings.task, settings.task_options.to_wire()],
            "method": settings.method.non_defaults(),
            "training": training.non_defaults(*_OF_THE_MODEL, "label_smoothing", "seed"),
            "balance": settings.data.balance.non_defaults(),
            "output": settings.output.non_defaults(),
            "gpu": settings.gang.gpus_per_node > 0,
        }
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _version(program: str) -> str:
    try:
        return metadata.version(program)
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
