"""Fields of a spec that need a cluster, and that one machine leaves out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.pods import Placement, PodOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACEMENT = frozenset(str(field.alias) for field in Placement.model_fields.values())
"""Fields of `spec.scheduling` that say on which nodes pods run."""
POD_OPTIONS = frozenset(str(field.alias) for field in PodOptions.model_fields.values())
"""Fields of `spec` that say who the pods are, and which variables they get."""
_LEFT_OUT = POD_OPTIONS - {"labels", "annotations", "env"}


def left_out(spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the spec without the fields that have no effect on one machine, and one sentence that names the fields."""
    scheduling = spec.get("scheduling") or {}
    ignored = [name for name in spec if name in _LEFT_OUT]
    ignored += [f"scheduling.{name}" for name in scheduling if name in PLACEMENT]
    if not ignored:
        return dict(spec), []
    kept = {name: value for name, value in spec.items() if name not in _LEFT_OUT}
    if scheduling:
        kept["scheduling"] = {name: value for name, value in scheduling.items() if name not in PLACEMENT}
    names = ", ".join(f"spec.{name}" for name in ignored)
    return kept, [f"{names}: left out, there is one machine, with its own packages and no image to pull"]
