"""What a gate with a query needs of this machine: it is looked for before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.gates import ON_FEEDBACK
from tuneloop_cli.local.prometheus.program import cache_folder, present_program
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest


def missing_for_queries(manifest: Manifest) -> list[Refusal]:
    """Return a refusal if an object has a gate with a query, and there is no Prometheus on this machine."""
    if not has_query(manifest) or present_program(cache_folder()) is not None:
        return []
    place, gate = next((number, gate) for number, gate in enumerate(_gates(manifest)) if _asks(gate))
    field = "query" if "query" in gate else "metric"
    return [
        Refusal(
            reason="PrometheusMissing",
            field=f"spec.rollout.gates[{place}].{field}",
            given=ascii(gate[field])[:100],
            allowed="Prometheus answers queries and knows late labels, and there is none on this machine; a gate with another metric needs none",
            example="sudo apt-get install prometheus, or another `prometheus` on PATH",
        )
    ]


def has_query(manifest: Manifest) -> bool:
    """Whether an object has a gate that asks Prometheus."""
    return any(map(_asks, _gates(manifest)))


def _asks(gate: Manifest) -> bool:
    return "query" in gate or gate.get("metric") in ON_FEEDBACK


def _gates(manifest: Manifest) -> list[Manifest]:
    found: list[Manifest] = (manifest["spec"].get("rollout") or {}).get("gates") or []
    return found
