"""Canary: the new revision gets a growing share of the requests, step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment import rollout
from tuneloop_api.wire.durations import seconds
from tuneloop_operator.decide.model_deployment.rollout.facts import StepSpec
from tuneloop_operator.decide.model_deployment.rollout.policy import Policy, Step

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.facts import RolloutSpec

DEFAULT_STEPS = tuple(
    StepSpec(weight=step.weight, min_duration=seconds(step.min_duration or "0s")) for step in rollout.DEFAULT_STEPS
)
"""Where the spec names none. A spec whose steps were deleted in the middle must not mean a promotion at once."""


def steps(spec: RolloutSpec) -> tuple[Step, ...]:
    """Return the steps of the spec."""
    default = tuple(replace(step, min_requests=spec.min_requests) for step in DEFAULT_STEPS)
    return weighted_steps(spec.steps or default, shadow=spec.shadow_percent)


def weighted_steps(given: tuple[StepSpec, ...], *, shadow: int) -> tuple[Step, ...]:
    """Return steps in which the canary has as many servers as its weight and its copies need: a client must not find them full of copies."""
    return tuple(
        Step(
            weight=step.weight,
            servers=min(100, step.weight + shadow),
            shadow=shadow,
            min_duration=step.min_duration,
            min_requests=step.min_requests,
            pause=step.pause,
        )
        for step in given
    )


CANARY = Policy(steps=steps)
