"""The policy of each strategy, and where a roll-out is on the way that its policy gives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.blue_green import BLUE_GREEN
from tuneloop_operator.decide.model_deployment.rollout.canary import CANARY
from tuneloop_operator.decide.model_deployment.rollout.policy import Step
from tuneloop_operator.decide.model_deployment.rollout.recreate import RECREATE
from tuneloop_operator.decide.model_deployment.rollout.shadow import SHADOW
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Strategy

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.facts import RolloutSpec
    from tuneloop_operator.decide.model_deployment.rollout.policy import Policy
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

POLICIES: dict[Strategy, Policy] = {
    Strategy.CANARY: CANARY,
    Strategy.BLUE_GREEN: BLUE_GREEN,
    Strategy.SHADOW: SHADOW,
    Strategy.RECREATE: RECREATE,
}
EVERYTHING = Step(weight=100, servers=100)
"""What a promotion leads to."""


def steps_of(rollout: Rollout, spec: RolloutSpec) -> tuple[Step, ...]:
    """Return the steps before the promotion."""
    return POLICIES[rollout.strategy].steps(spec)


def step_of(rollout: Rollout, spec: RolloutSpec) -> Step:
    """Return the current step. The last one, if an edit has left fewer: a step that is gone is not a step that is complete."""
    steps = steps_of(rollout, spec)
    return steps[min(rollout.step, len(steps) - 1)]


def is_last_step(rollout: Rollout, spec: RolloutSpec) -> bool:
    """Whether the promotion follows the current step."""
    return rollout.step >= len(steps_of(rollout, spec)) - 1


def goal_of(rollout: Rollout, spec: RolloutSpec) -> Step:
    """Return where the canary is to go now."""
    if rollout.is_forced or rollout.phase in {Phase.PROMOTING, Phase.REVERTING}:
        return EVERYTHING
    step, share = step_of(rollout, spec), rollout.split.weight_of(rollout.canary)
    if rollout.strategy is Strategy.CANARY and not spec.steps and step.weight < share:
        # the steps were deleted in the middle, with the strategy for instance: nobody asked for a step back
        return replace(step, weight=share, servers=share)
    return step
