"""Fields of a spec that need a cluster, and that one machine leaves out. Pure."""

from __future__ import annotations

from typing import Any

from tuneloop_api.v1alpha1.pods import Placement, PodOptions
from tuneloop_api.v1alpha1.resources import PodResources

PLACEMENT = frozenset(str(field.alias) for field in Placement.model_fields.values())
"""Fields of `spec.scheduling` that say on which nodes pods run."""
POD_OPTIONS = frozenset(str(field.alias) for field in PodOptions.model_fields.values())
"""Fields of `spec` that say who the pods are, and which variables and volumes they get."""
_LEFT_OUT = POD_OPTIONS - {"labels", "annotations", "env", "volumes"}
_NETWORK = "spec.network: left out, the ranks of one machine talk over loopback"
_VOLUMES = "spec.volumes: left out, one machine mounts no Secret, ConfigMap or claim; variables that name files in volumes may need other values"


_RESOURCES = frozenset(str(field.alias) for field in PodResources.model_fields.values())
"""Fields of `spec.resources` that ask a node for disk, shared memory and devices."""


def left_out(spec: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the spec without the fields that have no effect on one machine, and sentences that name the fields."""
    resources = spec.get("resources") or {}
    if of_nodes := [f"spec.resources.{name}" for name in resources if name in _RESOURCES]:
        kept, lines = left_out(
            spec | {"resources": {name: resources[name] for name in resources if name not in _RESOURCES}}
        )
        return kept, [f"{', '.join(of_nodes)}: left out, the machine is shared as it is", *lines]
    own = [line for name, line in (("volumes", _VOLUMES), ("network", _NETWORK)) if spec.get(name)]
    spec = {name: value for name, value in spec.items() if name not in {"volumes", "network"}}
    scheduling = spec.get("scheduling") or {}
    ignored = [name for name in spec if name in _LEFT_OUT]
    ignored += [f"scheduling.{name}" for name in scheduling if name in PLACEMENT]
    if not ignored:
        return spec, own
    kept = {name: value for name, value in spec.items() if name not in _LEFT_OUT}
    if scheduling:
        kept["scheduling"] = {name: value for name, value in scheduling.items() if name not in PLACEMENT}
    names = ", ".join(f"spec.{name}" for name in ignored)
    return kept, [*own, f"{names}: left out, there is one machine, with its own packages and no image to pull"]
