"""The hardware overlay: fits what an object asks for to a machine with fewer GPUs, and drops scheduling that needs a cluster. Pure.

Training gives the same result on any number of ranks, so the overlay changes the duration of a job and nothing else. A job that asks for
no GPU, no queue and no priority stays as it is.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_cli.local import references
from tuneloop_cli.local.one_machine import left_out

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

ANNOTATION = "tuneloop.dev/overlay"


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The GPUs and CPU ranks of this machine."""

    gpus: int
    ranks: int
    """CPU ranks that may stand in for GPUs, at least 1."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """A manifest as it runs on this machine."""

    manifest: Manifest
    lines: tuple[str, ...]
    """The changes, as sentences for people; empty without a change."""


_ONE_MACHINE = {
    "queueName": "there is no queue on one machine",
    "priorityClassName": "there are no other pods to come before",
    "avoidBadNodes": "there is no other node",
    "hostNetwork": "the ranks of one machine talk over loopback",
}
"""Why fields of `spec.scheduling` are left out."""


def overlay(manifest: Manifest, hardware: Hardware) -> Overlay:
    """Return the FineTuneJob as this machine can run it. The annotation `tuneloop.dev/overlay` holds the changes too."""
    resources, fitted = _resources(manifest["spec"].get("resources") or {}, hardware)
    scheduling, dropped = _scheduling(manifest["spec"].get("scheduling") or {}, nodes=resources.get("nodes", 1))
    spec, ignored = left_out(manifest["spec"] | {"resources": resources, "scheduling": scheduling})
    return _changed(manifest, spec, lines=(*fitted, *dropped, *ignored, *references.notes(spec)))


def without_cluster_fields(manifest: Manifest, hardware: Hardware) -> Overlay:
    """Return the ModelDeployment as this machine can serve it."""
    fixed, scaled = _with_fixed_servers(manifest["spec"])
    on_cpu, devices = _without_absent_gpus(fixed, hardware)
    spec, lines = left_out(on_cpu)
    return _changed(manifest, spec, lines=(*scaled, *devices, *lines, *references.notes(spec)))


def _without_absent_gpus(spec: dict[str, Any], hardware: Hardware) -> tuple[dict[str, Any], list[str]]:
    """Return the spec without more GPUs than the machine has, and a sentence about them: the CPU computes the same."""
    asked = spec.get("resources") or {}
    if asked.get("gpus", 0) <= hardware.gpus:
        return spec, []
    kept = {name: value for name, value in asked.items() if name not in {"gpus", "gpuResource"}}
    line = f"spec.resources.gpus: {asked['gpus']} -> 0, this machine has {hardware.gpus or 'none'}; the CPU computes"
    return spec | {"resources": kept}, [line]


def _with_fixed_servers(spec: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the spec with a fixed number of servers in place of an autoscaler, and a sentence about it."""
    scaling = spec.get("autoscaling")
    if scaling is None:
        return spec, []
    least = scaling.get("min", 1)
    kept = {name: value for name, value in spec.items() if name != "autoscaling"}
    line = f"spec.autoscaling: left out, there is no autoscaler on one machine; spec.replicas: {least}, which is autoscaling.min"
    return kept | {"replicas": least}, [line]


def _changed(manifest: Manifest, spec: dict[str, Any], *, lines: tuple[str, ...]) -> Overlay:
    """Return the manifest with another spec, and the changes in its annotation; the manifest itself without a change."""
    if not lines:
        return Overlay(manifest=manifest, lines=())
    changed = copy.deepcopy(manifest)
    # an empty block says nothing, but for this one, whose presence switches feedback on
    kept = {name: block for name, block in spec.items() if block != {} or name == "feedback"}
    changed["spec"] = copy.deepcopy(kept)
    annotations = changed["metadata"].get("annotations") or {}
    changed["metadata"]["annotations"] = annotations | {ANNOTATION: json.dumps(lines, ensure_ascii=False)}
    return Overlay(manifest=changed, lines=lines)


def _resources(asked: dict[str, Any], hardware: Hardware) -> tuple[dict[str, Any], list[str]]:
    """Return the resources for this machine, and the changes."""
    nodes, gpus = asked.get("nodes", 1), asked.get("gpusPerNode", 1)
    processes = asked.get("processesPerNode", max(gpus, 1))
    if gpus == 0 or nodes * gpus <= hardware.gpus:
        return asked, []
    wanted = {"nodes": nodes, "gpusPerNode": gpus, "processesPerNode": processes}
    given = _on_gpus(hardware.gpus) if hardware.gpus else _on_cpu(wanted, hardware.ranks)
    fitted = {name: value for name, value in (asked | given).items() if name != "gpuResource"}
    return fitted, [_reason(wanted, hardware), *_changes(wanted, given)]


def _scheduling(asked: dict[str, Any], *, nodes: int) -> tuple[dict[str, Any], list[str]]:
    """Return the scheduling for this machine, and the changes. `minNodes` becomes at most `nodes`."""
    kept = {name: value for name, value in asked.items() if name not in _ONE_MACHINE or value is False}
    lines = [f"spec.scheduling.{name}: left out, {_ONE_MACHINE[name]}" for name in asked if name not in kept]
    if (least := asked.get("minNodes", 1)) > nodes:
        kept["minNodes"] = nodes
        lines.append(f"spec.scheduling.minNodes: {least} -> {nodes}")
    return kept, lines


def _on_cpu(wanted: dict[str, int], ranks: int) -> dict[str, int]:
    """Return resources without GPUs. The number of nodes stays as long as each node has a rank."""
    nodes = min(wanted["nodes"], ranks)
    return {"nodes": nodes, "gpusPerNode": 0, "processesPerNode": min(wanted["processesPerNode"], ranks // nodes)}


def _on_gpus(gpus: int) -> dict[str, int]:
    """Return resources of one node with all GPUs of the machine, one rank a GPU."""
    return {"nodes": 1, "gpusPerNode": gpus, "processesPerNode": gpus}


def _reason(wanted: dict[str, int], hardware: Hardware) -> str:
    asked = wanted["nodes"] * wanted["gpusPerNode"]
    has = f"{hardware.gpus} of them" if hardware.gpus else "none"
    return f"the job asks for {asked} GPU{'s' if asked > 1 else ''} and this machine has {has}; the trained model is the same"


def _changes(wanted: dict[str, int], given: dict[str, int]) -> list[str]:
    return [
        f"spec.resources.{name}: {before} -> {given[name]}" for name, before in wanted.items() if before != given[name]
    ]
