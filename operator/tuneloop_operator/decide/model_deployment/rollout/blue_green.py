"""Blue-green: the new revision gets all its servers first, is judged on copies and golden requests, and then gets all requests at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.facts import StepSpec
from tuneloop_operator.decide.model_deployment.rollout.policy import Policy, Step

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.facts import RolloutSpec


def steps(spec: RolloutSpec) -> tuple[Step, ...]:
    """Return one step without weight. Its conditions are those of the spec's first step, whose weight says nothing here."""
    given = spec.steps[0] if spec.steps else StepSpec(weight=100)
    preview = Step(
        weight=0,
        servers=100,
        shadow=spec.shadow_percent,
        min_duration=given.min_duration,
        min_requests=max(given.min_requests, spec.shadow_min_requests),
        pause=given.pause,
    )
    return (preview,)


BLUE_GREEN = Policy(steps=steps)
