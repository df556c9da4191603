"""What `validate` says of the gates of a deployment."""

from __future__ import annotations

from typing import Any

from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
from tuneloop_cli.views.gate_power import gate_notes

ERRORS: dict[str, Any] = {"name": "errors", "metric": "Errors", "margin": 0.01}


def notes(**rollout: Any) -> list[str]:
    return list(gate_notes(RolloutOptions.from_wire(rollout)))


def test_a_gate_on_copies_has_its_chances_for_each_number_of_requests() -> None:
    found = notes(gates=[ERRORS], steps=[{"weight": 5, "minRequests": 500}, {"weight": 50}, {"weight": 100}])
    assert [note.split(":")[0] for note in found] == [
        "gate errors, margin 1 %, minRequests 500",
        "gate errors, margin 1 %, minRequests 1000",
    ]
    assert "passes an equal model with" in found[0]
    assert "fails one that is worse by 2 % with" in found[0]


def test_a_gate_on_the_golden_set_says_how_many_rows_it_needs() -> None:
    gates = [
        {"name": "golden", "metric": "GoldenAccuracy", "margin": 0.03},
        {"name": "calibration", "metric": "Calibration", "margin": 0.05},
    ]
    assert notes(gates=gates) == [
        "gate golden, margin 3 %, the golden set: looks once; 740 rows pass an equal model with 80 %",
        "gate calibration, margin 5 %, the golden set: looks once; 284 rows pass an equal model with 80 %",
    ]


def test_a_query_says_how_long_it_takes() -> None:
    rate = 'sum(rate(t{revision="{{revision}}"}[5m]))'
    gates = [
        {"name": "number", "query": "up", "compare": "Absolute", "margin": 1},
        {"name": "rate", "query": rate, "margin": 0.25},
    ]
    assert notes(gates=gates) == [
        "gate number, margin 1, a query: decides by 3 numbers in a row, after 2 min of each step at the earliest",
        "gate rate, margin 0.25, a query: decides by 3 numbers in a row, after 15 min of each step at the earliest",
    ]


def test_a_gate_on_late_labels_says_how_many_it_needs() -> None:
    (note,) = notes(gates=[{"name": "late", "metric": "FeedbackAccuracy", "margin": 0.02}])
    assert note == (
        "gate late, margin 2 %, late labels: looks while baking at days that are mature; with 5866 labels of each revision, "
        "one that is wrong 4 % more often is rolled back with 80 %"
    )


def test_a_rollout_without_gates_has_no_note() -> None:
    assert notes() == list(gate_notes(None)) == []
