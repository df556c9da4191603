"""The fingerprint of a run: all that must be equal for a resumed run to repeat an uninterrupted one to the last bit."""

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


def fingerprint_of(engine: Engine, given: dict[str, Any]) -> dict[str, Any]:
    """Return the fingerprint of this run as JSON data: the given values, and those of the engine, the machine and the packages."""
    fingerprint = given | {
        "worldSize": engine.world_size,
        "stage": engine.zero_stage,  # the key of release 0.1.0: a new name would turn every resume into `rounding`
        "precision": engine.settings.precision,
        "microBatchSize": engine.settings.micro_batch_size,
        "threads": torch.get_num_threads(),
        "processor": _processor(engine.device),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    plain: dict[str, Any] = json.loads(json.dumps(fingerprint))
    return plain


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
