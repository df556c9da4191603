"""What a running operator counts in its /metrics: looks at objects, calls to the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from operator_process import RunningOperator

Labels = frozenset[tuple[str, str]]
_WRITES = frozenset({"create", "update", "patch", "delete"})


def samples(operator: RunningOperator) -> dict[tuple[str, Labels], float]:
    """Return all samples by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(operator.metrics())
        for sample in family.samples
    }


def calls(operator: RunningOperator) -> dict[Labels, float]:
    """Return how often the API server was asked, by verb, resource and code; the Lease is left out."""
    return {
        labels: value
        for (name, labels), value in samples(operator).items()
        if name == "tuneloop_api_calls_total" and ("resource", "leases") not in labels
    }


def written(operator: RunningOperator) -> set[str]:
    """Return the resources that the operator wrote; the Lease is left out."""
    asked = map(dict, calls(operator))
    return {call["resource"] for call in asked if call["verb"] in _WRITES and call["code"] in {"200", "201"}}


def reconciles(operator: RunningOperator) -> float:
    """Return how often the operator reconciled a FineTuneJob."""
    return samples(operator).get(("tuneloop_reconcile_seconds_count", frozenset({("kind", "FineTuneJob")})), 0.0)
