"""Gates that are a PromQL query of a user: what may be asked, and what is to be asked now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.limits import Limits
from tuneloop_operator.decide.model_deployment.rollout.facts import measured_step
from tuneloop_operator.decide.model_deployment.rollout.state import Phase
from tuneloop_operator.errors import InvalidQuery
from tuneloop_operator.prometheus.look_back import look_back
from tuneloop_operator.prometheus.query import PromQL, code_of, variables_of, written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

NAMESPACE, DEPLOYMENT, REVISION = "namespace", "deployment", "revision"
"""Variables of a query."""
_WATCHED = frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.HELD, Phase.PROMOTING, Phase.BAKING})
"""Phases in which a gate may bring stable back."""


class Compare(StrEnum):
    """What a gate holds against its margin."""

    STABLE = "Stable"
    """The number of the canary minus that of stable."""
    ABSOLUTE = "Absolute"
    """The number of the canary."""


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


def query_problem(text: str, compare: Compare = Compare.ABSOLUTE) -> str:
    """Return why a query cannot be a gate's, as a sentence without a full stop; empty if it can."""
    names = {NAMESPACE: "namespace", DEPLOYMENT: "deployment", REVISION: "revision"}
    try:
        written(text, names)
        look_back(text)
    except InvalidQuery as problem:
        return str(problem)
    if not code_of(text).strip():
        return 'the query is empty; for example sum(up{revision="{{revision}}"})'
    if compare is Compare.STABLE and REVISION not in variables_of(text):
        return (
            "the query is the same for both revisions, so their difference is always 0: it must name {{revision}}, "
            'for example {revision="{{revision}}"}; or compare: Absolute'
        )
    return ""
