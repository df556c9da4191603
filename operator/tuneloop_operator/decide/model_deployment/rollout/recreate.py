"""Recreate: the Service goes over to the new revision as soon as all its servers are ready. There is no router, and no gate before that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.policy import Policy, Step

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.facts import RolloutSpec


def steps(spec: RolloutSpec) -> tuple[Step, ...]:  # noqa: ARG001  (the same for every spec)
    """Return the start of all servers, on which gates look at golden requests alone. The servers of stable stay until the Service has gone over, whatever the name says elsewhere."""
    return (Step(weight=0, servers=100),)


RECREATE = Policy(steps=steps)
