"""Gates that ask Prometheus, by a query of a user or by ours about late labels: what may be asked, and what is to be asked now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import DEPLOYMENT, NAMESPACE, PREVIOUS, REVISION, Compare, query_problem
from tuneloop_operator.decide.model_deployment.feedback_gate import alpha_of, feedback_query
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
    is_on_feedback: bool = False
    """A query of ours about late labels: it is asked while a revision bakes, and names the revision before as well."""

    @property
    def problem(self) -> str:
        """Why the query cannot be asked; empty if it can."""
        return "" if self.is_on_feedback else query_problem(self.query, self.compare)


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
    previous: str = ""
    """While baking: the revision that comes back if the promoted one fails."""


def query_gates_of(options: RolloutOptions | None) -> tuple[QueryGate, ...]:
    """Return the gates of the spec that ask Prometheus, with their defaults: a user's query, or ours about late labels."""
    return tuple(
        QueryGate(
            name=gate.name,
            query=feedback_query(alpha=alpha_of(gate)) if gate.query is None else gate.query,
            margin=gate.margin,
            compare=Compare.ABSOLUTE if gate.query is None else Compare(gate.compare or "Stable"),
            limits=Limits(
                no_data=gate.no_data_limit or 5, inconclusive=gate.inconclusive_limit or 3, error=gate.error_limit or 5
            ),
            dry_run=bool(gate.dry_run),
            is_on_feedback=gate.is_on_feedback,
        )
        for gate in (options.gates if options else None) or ()
        if gate.query is not None or gate.is_on_feedback
    )


def queried(rollout: Rollout) -> Queried | None:
    """Return the revisions to ask about now; None: none is judged."""
    if rollout.phase not in _WATCHED or measured_step(rollout) is None:
        return None
    if rollout.phase is Phase.BAKING:
        if not rollout.previous:
            return None
        return Queried(canary=rollout.stable, stable="", is_baking=True, previous=rollout.previous)
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
    names = {NAMESPACE: namespace, DEPLOYMENT: deployment, PREVIOUS: about.previous}
    return tuple(
        WantedQuery(gate=gate.name, revision=revision, query=written(gate.query, names | {REVISION: revision}))
        for gate in gates
        if not gate.problem
        for revision in revisions_of(gate, about)
    )


def revisions_of(gate: QueryGate, about: Queried) -> tuple[str, ...]:
    """Return the revisions that a gate asks about: none where it has nothing to compare with."""
    if gate.is_on_feedback and not about.is_baking:
        return ()
    if gate.compare is Compare.ABSOLUTE:
        return (about.canary,)
    return (about.canary, about.stable) if about.stable else ()
