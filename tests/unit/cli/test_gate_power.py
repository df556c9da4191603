"""What `validate` says of the gates of a deployment."""

from __future__ import annotations

import math
import re
from typing import Any

from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
from tuneloop_cli.views.gate_power import gate_notes

ERRORS: dict[str, Any] = {"name": "errors", "metric": "Errors", "margin": 0.01}


def notes(**rollout: Any) -> list[str]:
    return list(gate_notes(RolloutOptions.from_wire(rollout)))


def test_a_gate_on_copies_has_its_chances_for_each_number_of_requests() -> None:
    found = notes(gates=[ERRORS], steps=[{"weight": 5, "minRequests": 2000}, {"weight": 50}, {"weight": 100}])
    assert [note.split(":")[0] for note in found] == [
        "gate errors, margin 1 %, minRequests 1000",
        "gate errors, margin 1 %, minRequests 2000",
    ]
    assert "passes an equal model with" in found[0]
    assert re.search(r"; fails one that is worse by 2 % with \d+ %, \d+ % by the last$", found[0])


def test_a_gate_that_seldom_catches_a_bad_model_says_how_many_requests_do() -> None:
    gate = ERRORS | {"margin": 0.03}
    few, warned = notes(gates=[gate], steps=[{"weight": 50, "minRequests": 100}])
    assert few.startswith("gate errors, margin 3 %, minRequests 100: passes an equal model with ")
    found = re.fullmatch(
        "warning: gate errors, minRequests 100: a model that is worse by 6 % is oftener Held than brought back; "
        r"(\d+) requests in a step bring it back \(minRequests (\d+)\) with 80 %",
        warned,
    )
    assert found is not None, warned
    assert int(found[2]) == math.ceil(int(found[1]) / 3)
    (enough,) = notes(gates=[gate], steps=[{"weight": 50, "minRequests": int(found[2])}])
    assert not enough.startswith("warning")


def test_the_default_number_of_requests_catches_a_bad_model() -> None:
    assert [note for note in notes(gates=[ERRORS]) if note.startswith("warning")] == []


def test_a_gate_on_the_golden_set_says_how_many_rows_it_needs() -> None:
    gates = [
        {"name": "golden", "metric": "GoldenAccuracy", "margin": 0.03},
        {"name": "calibration", "metric": "Calibration", "margin": 0.05},
        {"name": "quality", "metric": "GenerationQuality", "margin": 0.03},
    ]
    assert notes(gates=gates) == [
        "gate golden, margin 3 %, the golden set: looks once; a set of 740 rows or more passes an equal model with 80 %",
        "gate calibration, margin 5 %, the golden set: looks once; a set of 284 rows or more passes an equal model with 80 %",
        "gate quality, margin 3 %, the golden set: looks once; a set of 508 rows or more passes an equal model with 80 %",
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
