"""The hardware overlay: what a FineTuneJob's resources become on a machine that has fewer GPUs than it asks for. Pure.

Training gives the same result on any number of ranks, so this changes how long a job takes and nothing else. A job that asks for no GPU
is left as it is.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

ANNOTATION = "tuneloop.dev/overlay"


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the machine offers."""

    gpus: int
    ranks: int
    """CPU ranks that may stand in for GPUs, at least 1."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """A manifest as it runs here."""

    manifest: Manifest
    lines: tuple[str, ...]
    """What was changed, for people; nothing where nothing was."""


def overlay(manifest: Manifest, hardware: Hardware) -> Overlay:
    """Return the FineTuneJob as this machine can run it; what was changed stands in its annotation `tuneloop.dev/overlay` too."""
    asked = manifest["spec"].get("resources") or {}
    nodes, gpus = asked.get("nodes", 1), asked.get("gpusPerNode", 1)
    processes = asked.get("processesPerNode", max(gpus, 1))
    if gpus == 0 or nodes * gpus <= hardware.gpus:
        return Overlay(manifest=manifest, lines=())
    wanted = {"nodes": nodes, "gpusPerNode": gpus, "processesPerNode": processes}
    given = _on_gpus(hardware.gpus) if hardware.gpus else _on_cpu(wanted, hardware.ranks)
    lines = (_reason(wanted, hardware), *_changes(wanted, given))
    changed = copy.deepcopy(manifest)
    changed["spec"]["resources"] = {name: value for name, value in (asked | given).items() if name != "gpuResource"}
    annotations = changed["metadata"].get("annotations") or {}
    changed["metadata"]["annotations"] = annotations | {ANNOTATION: json.dumps(lines, ensure_ascii=False)}
    return Overlay(manifest=changed, lines=lines)


def _on_cpu(wanted: dict[str, int], ranks: int) -> dict[str, int]:
    """Keep the number of nodes as long as each has a rank."""
    nodes = min(wanted["nodes"], ranks)
    return {"nodes": nodes, "gpusPerNode": 0, "processesPerNode": min(wanted["processesPerNode"], ranks // nodes)}


def _on_gpus(gpus: int) -> dict[str, int]:
    """One node with the GPUs that are there, one rank each."""
    return {"nodes": 1, "gpusPerNode": gpus, "processesPerNode": gpus}


def _reason(wanted: dict[str, int], hardware: Hardware) -> str:
    asked = wanted["nodes"] * wanted["gpusPerNode"]
    has = f"{hardware.gpus} of them" if hardware.gpus else "none"
    return f"the job asks for {asked} GPU{'s' if asked > 1 else ''} and this machine has {has}; the trained model is the same"


def _changes(wanted: dict[str, int], given: dict[str, int]) -> list[str]:
    return [
        f"spec.resources.{name}: {before} -> {given[name]}" for name, before in wanted.items() if before != given[name]
    ]
