"""Fields of a spec that need a cluster, and that one machine leaves out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.pods import Placement, PodOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACEMENT = frozenset(str(field.alias) for field in Placement.model_fields.values())
"""Fields of `spec.scheduling` that say on which nodes pods run."""
POD_OPTIONS = frozenset(str(field.alias) for field in PodOptions.model_fields.values())
"""Fields of `spec` that say who the pods are, and which variables and volumes they get."""
_LEFT_OUT = POD_OPTIONS - {"labels", "annotations", "env", "volumes"}
_VOLUMES = "spec.volumes: left out, one machine mounts no Secret, ConfigMap or claim; variables that name files in volumes may need other values"


def left_out(spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the spec without the fields that have no effect on one machine, and sentences that name the fields."""
    volumes = [_VOLUMES] if spec.get("volumes") else []
    spec = {name: value for name, value in spec.items() if name != "volumes"}
    scheduling = spec.get("scheduling") or {}
    ignored = [name for name in spec if name in _LEFT_OUT]
    ignored += [f"scheduling.{name}" for name in scheduling if name in PLACEMENT]
    if not ignored:
        return spec, volumes
    kept = {name: value for name, value in spec.items() if name not in _LEFT_OUT}
    if scheduling:
        kept["scheduling"] = {name: value for name, value in scheduling.items() if name not in PLACEMENT}
    names = ", ".join(f"spec.{name}" for name in ignored)
    return kept, [*volumes, f"{names}: left out, there is one machine, with its own packages and no image to pull"]
