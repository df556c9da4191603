"""What the spec of a ModelDeployment says about roll-outs, with its defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.rollout import Rollback, RolloutOptions
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.durations import seconds
from tuneloop_operator.decide.model_deployment.gate_plan import (
    default_min_requests,
    shadow_min_requests,
    shadow_percent,
)
from tuneloop_operator.decide.model_deployment.rollout.facts import (
    Autoscaling,
    Capacity,
    RolloutSpec,
    StepSpec,
    ThinTraffic,
)
from tuneloop_operator.decide.model_deployment.rollout.state import Strategy

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment, ModelDeploymentSpec
    from tuneloop_api.v1alpha1.model_deployment.autoscaling import Autoscaling as AutoscalingOptions
    from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutStep


def rollout_spec(deployment: ModelDeployment) -> RolloutSpec:
    """Return `spec.rollout` with its defaults."""
    spec = deployment.spec
    options = spec.rollout or RolloutOptions()
    rollback = options.rollback or Rollback()
    min_requests = default_min_requests(options)
    return RolloutSpec(
        strategy=strategy_of(deployment),
        steps=tuple(_step(step, min_requests) for step in options.steps or ()),
        min_requests=min_requests,
        gates=tuple(gate.name for gate in options.gates or () if not gate.dry_run),
        shadow_percent=shadow_percent(options),
        shadow_min_requests=shadow_min_requests(options),
        on_thin_traffic=ThinTraffic(options.on_thin_traffic or "Hold"),
        capacity=Capacity(options.capacity or "Surge"),
        max_duration=seconds(options.max_duration or "1d"),
        manual_approval=options.approval == "Manual",
        automatic_rollback=rollback.automatic is not False,
        baking=seconds(rollback.baking or "1h"),
        window=seconds(rollback.window or "1d"),
        keep_replicas=rollback.keep_replicas or 0,
        history_limit=5 if options.revision_history_limit is None else options.revision_history_limit,
        replicas=spec.least_servers,
        autoscaling=_autoscaling(spec.autoscaling),
        digest=_digest(spec),
    )


def _digest(spec: ModelDeploymentSpec) -> str:
    """Return the digest without what says how many servers there are, who may ask them, what is measured, and when the model is trained again: whoever changes that asks for no other revision."""
    unseen = {"autoscaling", "access", "monitoring", "retraining"}
    wire = {name: value for name, value in spec.to_wire().items() if name not in unseen}
    return digest_of(wire | {"replicas": None})


def _autoscaling(scaling: AutoscalingOptions | None) -> Autoscaling | None:
    return None if scaling is None else Autoscaling(minimum=scaling.least, maximum=scaling.max)


def has_rollouts(deployment: ModelDeployment) -> bool:
    """Whether revisions are rolled out with a memory: `spec.rollout` asks for it, and routers need it."""
    return deployment.spec.rollout is not None or deployment.spec.has_limited_access


def strategy_of(deployment: ModelDeployment) -> Strategy:
    """Return the strategy of the next roll-out. Without `spec.rollout` the requests are never divided."""
    options = deployment.spec.rollout
    return Strategy.RECREATE if options is None else Strategy(options.strategy or "Canary")


def sticky_header_of(deployment: ModelDeployment) -> str | None:
    """Return the header by which requests stay with a revision; None: each request is on its own."""
    expose = deployment.spec.expose
    return expose.sticky_header if expose is not None else None


def _step(step: RolloutStep, min_requests: int) -> StepSpec:
    return StepSpec(
        weight=step.weight,
        min_duration=seconds(step.min_duration or "0s"),
        min_requests=step.min_requests or min_requests,
        pause=bool(step.pause),
    )
