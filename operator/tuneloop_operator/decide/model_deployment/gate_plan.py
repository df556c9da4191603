"""What the spec of a roll-out says about its gates, with defaults: the gates on the comparator's counts, copies, and how many requests each step is to have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.rollout import DEFAULT_STEPS
from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec, Metric
from tuneloop_operator.decide.model_deployment.gates.limits import Limits
from tuneloop_operator.decide.model_deployment.gates.undecidable import StepSize
from tuneloop_operator.decide.model_deployment.rollout.shadow import DEFAULT_MIN_REQUESTS, DEFAULT_PERCENT

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.model_deployment.gates import Gate
    from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions

DEFAULT_LIMIT = 5
"""Of NoData and of Error: minutes."""
DEFAULT_INCONCLUSIVE_LIMIT = 3


def limits_of(gate: Gate) -> Limits:
    """Return after how many results of each kind a gate gives up."""
    return Limits(
        no_data=gate.no_data_limit or DEFAULT_LIMIT,
        inconclusive=gate.inconclusive_limit or DEFAULT_INCONCLUSIVE_LIMIT,
        error=gate.error_limit or DEFAULT_LIMIT,
    )


def comparator_gates(options: RolloutOptions) -> tuple[GateSpec, ...]:
    """Return the gates that look at what the comparator counts."""
    return tuple(
        GateSpec(
            name=gate.name,
            metric=Metric(gate.metric),
            margin=gate.margin,
            similarity=1.0 if gate.similarity is None else gate.similarity,
            alpha=0.05 if gate.alpha is None else gate.alpha,
            limits=limits_of(gate),
            dry_run=bool(gate.dry_run),
        )
        for gate in options.gates or ()
        if gate.metric is not None and not gate.is_on_feedback
    )


def default_min_requests(options: RolloutOptions) -> int:
    """Return `minRequests` of a step that names none. Gates on trial hold nothing up."""
    is_waiting = any(gate.is_on_copies and not gate.dry_run for gate in options.gates or ())
    return DEFAULT_MIN_REQUESTS if is_waiting else 0


def shadow_percent(options: RolloutOptions) -> int:
    """Return the percentage of requests that are copied; 0 where nobody looks at copies."""
    if not options.compares_copies and options.strategy != "Shadow":
        return 0
    given = options.shadow.percent if options.shadow else None
    return given or DEFAULT_PERCENT


def shadow_min_requests(options: RolloutOptions) -> int:
    """Return how many copies are compared before a new revision gets any request."""
    given = options.shadow.min_requests if options.shadow else None
    return given or (DEFAULT_MIN_REQUESTS if options.strategy == "Shadow" else default_min_requests(options))


def step_sizes(options: RolloutOptions) -> tuple[StepSize, ...]:
    """Return `minRequests` of each step in which gates look at copies, in their order."""
    steps = options.steps or (() if options.strategy in {"Shadow", "BlueGreen"} else DEFAULT_STEPS)
    sizes = [
        _size(f"spec.rollout.steps[{place}].minRequests", step.min_requests, default=DEFAULT_MIN_REQUESTS)
        for place, step in enumerate(steps)
    ]
    if options.strategy in {"Shadow", "BlueGreen"}:
        given = options.shadow.min_requests if options.shadow else None
        sizes.insert(0, _size("spec.rollout.shadow.minRequests", given, default=DEFAULT_MIN_REQUESTS))
    return tuple(sizes)


def _size(field: str, given: int | None, *, default: int) -> StepSize:
    return StepSize(field=field, requests=given or default, is_default=given is None)
