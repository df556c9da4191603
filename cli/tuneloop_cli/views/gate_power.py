"""What the gates of a ModelDeployment can decide, as `validate` prints it: a sentence for each gate and each number of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import IN_A_ROW, least_seconds
from tuneloop_operator.decide.model_deployment.feedback_gate import alpha_of, labels_needed
from tuneloop_operator.decide.model_deployment.gate_plan import comparator_gates, step_sizes
from tuneloop_operator.decide.model_deployment.gates.evidence import percent
from tuneloop_operator.decide.model_deployment.gates.power import sentence, warning
from tuneloop_operator.decide.model_deployment.gates.undecidable import (
    golden_rows_needed,
    power_in_a_step,
    requests_to_catch,
)
from tuneloop_operator.decide.model_deployment.query_gates import query_gates_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1.model_deployment.gates import Gate
    from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
    from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec
    from tuneloop_operator.decide.model_deployment.query_gates import QueryGate


def gate_notes(options: RolloutOptions | None) -> Iterator[str]:
    """Yield what each gate on the comparator's counts can decide, and how long a query takes: nobody knows how its result varies."""
    if options is None:
        return
    sizes = step_sizes(options)
    for gate in comparator_gates(options):
        if gate.is_on_golden_rows:
            yield _of_golden_set(gate)
            continue
        for requests in sorted({size.requests for size in sizes}):
            power = power_in_a_step(gate, requests, steps=len(sizes))
            yield sentence(gate.name, power, margin=gate.margin)
            if power.decides and not power.catches:
                yield warning(gate.name, power, least=requests_to_catch(gate, steps=len(sizes)))
    for query in query_gates_of(options):
        if not query.is_on_feedback:
            yield _of_query(query)
    yield from (_of_feedback(gate) for gate in options.gates or () if gate.is_on_feedback)


def _of_query(gate: QueryGate) -> str:
    seconds = least_seconds(gate.query)
    return f"gate {gate.name}, margin {gate.margin:g}, a query: decides by {IN_A_ROW} numbers in a row, after {seconds / 60:.3g} min of each step at the earliest"


def _of_feedback(gate: Gate) -> str:
    needed = labels_needed(margin=gate.margin, alpha=alpha_of(gate))
    return (
        f"gate {gate.name}, margin {percent(gate.margin)}, late labels: looks while baking at days that are mature; with {needed} labels "
        f"of each revision, one that is wrong {percent(2 * gate.margin)} more often is rolled back with 80 %"
    )


def _of_golden_set(gate: GateSpec) -> str:
    rows = golden_rows_needed(gate)
    needed = (
        f"a set of {rows} rows or more passes an equal model with 80 %"
        if rows
        else "a set of no size passes an equal model"
    )
    return f"gate {gate.name}, margin {percent(gate.margin)}, the golden set: looks once; {needed}"
