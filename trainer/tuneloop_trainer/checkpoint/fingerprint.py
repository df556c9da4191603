"""What must be the same for a resumed run to repeat an uninterrupted one to the last bit."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from tuneloop_trainer.engine.engine import Engine

_PACKAGES = ("torch", "transformers", "peft", "deepspeed")


def collect(engine: Engine, given: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of this run as JSON data: the given ones, the engine's, the machine's and the versions."""
    facts = given | {
        "worldSize": engine.world_size,
        "stage": engine.stage,
        "precision": engine.settings.precision,
        "microBatchSize": engine.settings.micro_batch_size,
        "threads": torch.get_num_threads(),
        "processor": _processor(engine.device),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
