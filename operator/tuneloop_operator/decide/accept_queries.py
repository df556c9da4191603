"""Which gates with a query cannot work: what is wrong with the query, and with the steps that it is to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.rollout import DEFAULT_STEPS
from tuneloop_api.wire.durations import seconds
from tuneloop_operator.decide.gate_query import IN_A_ROW, Compare, least_seconds, query_problem
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1.model_deployment.gates import Gate
    from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions, RolloutStep

_EXAMPLE = 'query: sum(rate(tuneloop_truncated_requests_total{revision="{{revision}}"}[2m]))'
_LONGEST_VALUE = 100


def query_refusals(options: RolloutOptions | None) -> Iterator[Refusal]:
    """Yield why gates with a query cannot work."""
    for number, gate in enumerate((options.gates if options else None) or ()):
        if options is None or gate.query is None:
            continue
        field = f"spec.rollout.gates[{number}]"
        compare = Compare(gate.compare or "Stable")
        if problem := query_problem(gate.query, compare):
            yield Refusal(
                reason="InvalidQuery",
                field=f"{field}.query",
                given=ascii(gate.query)[:_LONGEST_VALUE],
                allowed=problem,
                example=_EXAMPLE,
            )
            continue
        if compare is Compare.STABLE and not any(step.weight < 100 for step in _steps(options)):
            yield _nothing_to_compare(options, field)
        yield from _too_long(options, gate, field)


def _steps(options: RolloutOptions) -> list[RolloutStep]:
    """Return the steps in which the canary gets requests before it is promoted."""
    match options.strategy:
        case None | "Canary":
            return [*(options.steps or DEFAULT_STEPS)]
        case "Shadow":
            return options.steps or []
    return []


def _nothing_to_compare(options: RolloutOptions, field: str) -> Refusal:
    return Refusal(
        reason="NothingToCompare",
        field=f"{field}.compare",
        given="Stable",
        allowed=f"both revisions must get requests in some step, and with strategy {options.strategy or 'Canary'} and its steps they do not; the number itself can be judged",
        example="compare: Absolute",
    )


def _too_long(options: RolloutOptions, gate: Gate, field: str) -> Iterator[Refusal]:
    """Yield a query that looks back so far that the steps have no room in the whole roll-out."""
    least = least_seconds(gate.query or "") * len(_steps(options))
    if least >= seconds(options.max_duration or "1d"):
        yield Refusal(
            reason="QueryTooLong",
            field=f"{field}.query",
            given=ascii(gate.query)[:_LONGEST_VALUE],
            allowed=f"each step takes {IN_A_ROW} windows of the query, so the roll-out lasts {least / 3600:.3g} hours at least, and rollout.maxDuration is {options.max_duration or '1d, the default'}; a shorter window is needed",
            example=_EXAMPLE,
        )
