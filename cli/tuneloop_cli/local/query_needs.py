"""What an object that asks Prometheus needs of this machine: it is looked for before anything starts."""

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
    """Return a refusal if an object asks Prometheus, and there is none on this machine."""
    place = next(_asking(manifest), None)
    if place is None or present_program(cache_folder()) is not None:
        return []
    field, given = place
    return [
        Refusal(
            reason="PrometheusMissing",
            field=field,
            given=ascii(given)[:100],
            allowed="Prometheus answers queries, knows late labels and keeps counts, and there is none on this machine; gates with another metric and triggers of type schedule and manual need none",
            example="sudo apt-get install prometheus, or another `prometheus` on PATH",
        )
    ]


def asks_prometheus(manifest: Manifest) -> bool:
    """Whether an object has a gate, a trigger or a baseline for which Prometheus is asked."""
    return next(_asking(manifest), None) is not None


def _asking(manifest: Manifest) -> Iterator[tuple[str, object]]:
    """Yield the fields for which Prometheus is asked, with what they hold."""
    spec = manifest["spec"]
    for place, gate in enumerate((spec.get("rollout") or {}).get("gates") or ()):
        if "query" in gate or gate.get("metric") in ON_FEEDBACK:
            field = "query" if "query" in gate else "metric"
            yield f"spec.rollout.gates[{place}].{field}", gate[field]
    for place, trigger in enumerate((spec.get("retraining") or {}).get("triggers") or ()):
        if trigger["type"] not in _WITHOUT_PROMETHEUS:
            yield f"spec.retraining.triggers[{place}].type", trigger["type"]
    if spec.get("monitoring") is not None:
        yield "spec.monitoring", spec["monitoring"]
