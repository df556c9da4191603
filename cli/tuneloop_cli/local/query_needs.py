"""What gates and triggers that ask Prometheus need of this machine: it is looked for before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.gates import ON_FEEDBACK
from tuneloop_cli.local.prometheus.program import cache_folder, present_program
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Manifest

_WITHOUT_PROMETHEUS = frozenset({"schedule", "manual"})
"""Types of triggers that ask nothing."""


def missing_for_queries(manifest: Manifest) -> list[Refusal]:
    """Return a refusal if an object has a gate with a query, and there is no Prometheus on this machine."""
    if not has_query(manifest) or present_program(cache_folder()) is not None:
        return []
    field, given = next(_asking(manifest))
    return [
        Refusal(
            reason="PrometheusMissing",
            field=field,
            given=ascii(given)[:100],
            allowed="Prometheus answers queries and knows late labels, and there is none on this machine; gates with another metric and triggers of type schedule and manual need none",
            example="sudo apt-get install prometheus, or another `prometheus` on PATH",
        )
    ]


def has_query(manifest: Manifest) -> bool:
    """Whether an object has a gate or a trigger that asks Prometheus."""
    return any(_asking(manifest))


def _asking(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the field of each gate and trigger that asks Prometheus, with its value."""
    spec = manifest["spec"]
    for number, gate in enumerate((spec.get("rollout") or {}).get("gates") or []):
        if "query" in gate:
            yield f"spec.rollout.gates[{number}].query", gate["query"]
        elif gate.get("metric") in ON_FEEDBACK:
            yield f"spec.rollout.gates[{number}].metric", gate["metric"]
    for number, trigger in enumerate((spec.get("retraining") or {}).get("triggers") or []):
        if trigger["type"] not in _WITHOUT_PROMETHEUS:
            yield f"spec.retraining.triggers[{number}].type", trigger["type"]
