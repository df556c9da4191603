"""Shadow: the new revision answers copies of requests, which no client sees, before it gets any request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.canary import weighted_steps
from tuneloop_operator.decide.model_deployment.rollout.policy import Policy, Step

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.facts import RolloutSpec

DEFAULT_PERCENT = 10
"""Each copy is asked of both revisions again: the load of both grows by a tenth."""
DEFAULT_MIN_REQUESTS = 1000


def steps(spec: RolloutSpec) -> tuple[Step, ...]:
    """Return the step on copies, then the steps of the spec. Without any, the promotion follows the copies."""
    percent = spec.shadow_percent or DEFAULT_PERCENT
    copies = Step(
        weight=0,
        servers=percent,
        shadow=percent,
        min_requests=spec.shadow_min_requests or DEFAULT_MIN_REQUESTS,
    )
    return (copies, *weighted_steps(spec.steps, shadow=percent))


SHADOW = Policy(steps=steps)
