"""Gates that are a PromQL query of a user: what may be asked, and what is to be asked now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import DEPLOYMENT, NAMESPACE, REVISION, Compare, query_problem
from tuneloop_operator.decide.model_deployment.gates.limits import Limits
from tuneloop_operator.decide.model_deployment.rollout.facts import measured_step
from tuneloop_operator.decide.model_deployment.rollout.state import Phase
from tuneloop_operator.prometheus.query import PromQL, written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

_WATCHED = frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.HELD, Phase.PROMOTING, Phase.BAKING})
"""Phases in which a gate may bring stable back."""


@dataclass(frozen=True, kw_only=True)
class QueryGate:
    """A gate with its query, its margin and its limits."""

    name: str
    query: str
    """As the user wrote it, accepted by `query_problem`. Its number is greater where it is worse."""
    margin: float
    """In the unit of the number."""
    compare: Compare = Compare.STABLE
    limits: Limits = field(default_factory=Limits)
    dry_run: bool = False
    """On trial: what it finds is shown, and nothing follows."""


@dataclass(frozen=True, kw_only=True)
class WantedQuery:
    """A query that is to be asked."""

    gate: str
    revision: str
    """Name of the revision that it is about."""
    query: PromQL


@dataclass(frozen=True, kw_only=True)
class Queried:
    """The revisions that queries are about."""

    canary: str
    """The revision that is judged: the canary; while baking, the promoted one."""
    stable: str
    """The revision that it is compared with; empty: none, because no other revision gets requests."""
    is_baking: bool


def query_gates_of(options: RolloutOptions | None) -> tuple[QueryGate, ...]:
    """Return the gates of the spec that have a query, with their defaults."""
    return tuple(
        QueryGate(
            name=gate.name,
            query=gate.query,
            margin=gate.margin,
            compare=Compare(gate.compare or "Stable"),
            limits=Limits(
                no_data=gate.no_data_limit or 5, inconclusive=gate.inconclusive_limit or 3, error=gate.error_limit or 5
            ),
            dry_run=bool(gate.dry_run),
        )
        for gate in (options.gates if options else None) or ()
        if gate.query is not None
    )


def queried(rollout: Rollout) -> Queried | None:
    """Return the revisions to ask about now; None: none is judged."""
    if rollout.phase not in _WATCHED or measured_step(rollout) is None:
        return None
    if rollout.phase is Phase.BAKING:
        return Queried(canary=rollout.stable, stable="", is_baking=True) if rollout.previous else None
    if not rollout.canary:
        return None
    stable = rollout.stable if rollout.split.weight_of(rollout.stable) else ""
    return Queried(canary=rollout.canary, stable=stable, is_baking=False)


def wanted_queries(
    gates: Iterable[QueryGate], rollout: Rollout | None, *, namespace: str, deployment: str
) -> tuple[WantedQuery, ...]:
    """Return what is to be asked now. A query that acceptance would refuse is not asked."""
    about = queried(rollout) if rollout is not None else None
    if about is None:
        return ()
    names = {NAMESPACE: namespace, DEPLOYMENT: deployment}
    return tuple(
        WantedQuery(gate=gate.name, revision=revision, query=written(gate.query, names | {REVISION: revision}))
        for gate in gates
        if not query_problem(gate.query, gate.compare)
        for revision in revisions_of(gate, about)
    )


def revisions_of(gate: QueryGate, about: Queried) -> tuple[str, ...]:
    """Return the revisions that a gate asks about: none where it has nothing to compare with."""
    if gate.compare is Compare.ABSOLUTE:
        return (about.canary,)
    return (about.canary, about.stable) if about.stable else ()
