"""Whether a ModelDeployment that fits the schema can run here, with these settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.feedback import DEFAULT_LABEL_DELAY
from tuneloop_api.v1alpha1.model_deployment.rollout import DEFAULT_STEPS, Rollback
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.uris import HUB_SCHEME, OBJECT_SCHEMES
from tuneloop_operator.decide.accept_addresses import local_address
from tuneloop_operator.decide.accept_pods import pod_refusals, resources_refusals
from tuneloop_operator.decide.accept_queries import query_refusals
from tuneloop_operator.decide.accept_secrets import server_secret_refusals
from tuneloop_operator.decide.model_deployment.baseline import MOST_SECONDS, window_seconds
from tuneloop_operator.decide.model_deployment.gate_plan import comparator_gates, step_sizes
from tuneloop_operator.decide.model_deployment.gates.undecidable import undecidable
from tuneloop_operator.decide.model_deployment.retraining.triggers.accept import trigger_refusals
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1 import ModelDeploymentSpec
    from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
    from tuneloop_operator.settings.operator import OperatorSettings

_DAY_SECONDS = 86_400


def deployment_refusals(spec: ModelDeploymentSpec, settings: OperatorSettings) -> tuple[Refusal, ...]:
    """Return why the deployment cannot run here; empty if it can."""
    return (
        *_no_artifact(spec, settings),
        *_external_locally(spec, settings),
        *_two_keys(spec),
        *pod_refusals(spec, spec.scheduling),
        *server_secret_refusals(spec),
        *resources_refusals(spec.resources),
        *_long_steps(spec.rollout),
        *query_refusals(spec.rollout),
        *_triggers(spec),
        *_adapters(spec, settings),
        *_golden_set(spec, settings),
        *_gates(spec.rollout),
        *_short_baking(spec),
        *_long_baseline(spec),
    )


def _no_artifact(spec: ModelDeploymentSpec, settings: OperatorSettings) -> Iterator[Refusal]:
    uri = spec.model.uri
    if uri is None:
        return
    if uri.startswith((HUB_SCHEME, *OBJECT_SCHEMES)):
        yield Refusal(
            reason="NotAnArtifact",
            field="spec.model.uri",
            given=uri,
            allowed="the folder of an artifact that a FineTuneJob published is needed: its classes and checks are in its manifest",
            example="pvc://models/jobs/reviews-1a2b3c4d/artifact",
        )
    elif not settings.local:
        yield from local_address("spec.model.uri", uri)


def _external_locally(spec: ModelDeploymentSpec, settings: OperatorSettings) -> Iterator[Refusal]:
    if settings.local and spec.runtime is not None and spec.runtime.is_external:
        yield Refusal(
            reason="RuntimeNeedsImages",
            field="spec.runtime.type",
            given=str(spec.runtime.type),
            allowed="local mode runs no images: it serves with Builtin, and Custom and VLLM need a cluster",
            example="type: Builtin",
        )


def _two_keys(spec: ModelDeploymentSpec) -> Iterator[Refusal]:
    """Yield a key of vLLM's own beside that of the routers, which take the key of a request away: vLLM would refuse what they let through."""
    is_vllm = spec.runtime is not None and spec.runtime.type == "VLLM"
    if not is_vllm or spec.api_key_secret_ref is None:
        return
    for number, variable in enumerate(spec.env or ()):
        if variable.name == "VLLM_API_KEY":
            yield Refusal(
                reason="TwoKeys",
                field=f"spec.env[{number}].name",
                given=variable.name,
                allowed="routers check spec.access.apiKeySecretRef and take the key away before vLLM, which would ask for it again; leave one of the two out",
                example="access.apiKeySecretRef alone",
            )


def _adapters(spec: ModelDeploymentSpec, settings: OperatorSettings) -> Iterator[Refusal]:
    for number, adapter in enumerate(spec.adapters or ()):
        if adapter.uri is not None and not settings.local:
            yield from local_address(f"spec.adapters[{number}].uri", adapter.uri)


def _triggers(spec: ModelDeploymentSpec) -> Iterator[Refusal]:
    if spec.retraining is not None:
        yield from trigger_refusals(spec.retraining.triggers or ())


def _golden_set(spec: ModelDeploymentSpec, settings: OperatorSettings) -> Iterator[Refusal]:
    golden_set = spec.evaluation.golden_set if spec.evaluation else None
    if golden_set is not None and not settings.local:
        yield from local_address("spec.evaluation.goldenSet.uri", golden_set.uri)


def _long_steps(options: RolloutOptions | None) -> Iterator[Refusal]:
    """Yield a time for the whole roll-out in which its steps have no room: it would always be held."""
    if options is None or options.strategy not in {None, "Canary"}:
        return
    least = sum(seconds(step.min_duration or "0s") for step in options.steps or DEFAULT_STEPS)
    if least >= seconds(options.max_duration or "1d"):
        yield Refusal(
            reason="StepsTooLong",
            field="spec.rollout.maxDuration",
            given=options.max_duration or "1d, the default",
            allowed=f"the steps last {least / 3600:.3g} hours at least, so a longer time is needed for the whole roll-out",
            example=f"maxDuration: {2 * least // 3600 + 1}h",
        )


def _short_baking(spec: ModelDeploymentSpec) -> Iterator[Refusal]:
    """Yield a time of baking in which no day of the promoted revision can become mature: the gate would never see a label."""
    options = spec.rollout
    if options is None or spec.feedback is None or not any(gate.is_on_feedback for gate in options.gates or ()):
        return
    rollback = options.rollback or Rollback()
    least = seconds(spec.feedback.label_delay or DEFAULT_LABEL_DELAY) + _DAY_SECONDS
    for name, given, default in (("baking", rollback.baking, "1h"), ("window", rollback.window, "1d")):
        if seconds(given or default) < least:
            yield Refusal(
                reason="BakingTooShort",
                field=f"spec.rollout.rollback.{name}",
                given=given or f"{default}, the default",
                allowed=f"FeedbackAccuracy looks at whole days whose labels have come, so {name} lasts a day and feedback.labelDelay at least",
                example=f"{name}: {-(-least // 3600) + 24}h",
            )


def _long_baseline(spec: ModelDeploymentSpec) -> Iterator[Refusal]:
    """Yield a baseline window that Prometheus cannot look back over."""
    if spec.monitoring is not None and window_seconds(spec.monitoring) > MOST_SECONDS:
        yield Refusal(
            reason="BaselineWindowTooLong",
            field="spec.monitoring.baselineWindow",
            given=str(spec.monitoring.baseline_window),
            allowed=f"Prometheus looks back over the whole window: at most {MOST_SECONDS // _DAY_SECONDS}d",
            example="baselineWindow: 7d",
        )


def _gates(options: RolloutOptions | None) -> Iterator[Refusal]:
    """Yield why the first gate that cannot decide cannot: to find a number that is enough takes up to some seconds, and a spec may have 16 gates."""
    if options is None:
        return
    for gate in comparator_gates(options):
        if found := undecidable([gate], step_sizes(options)):
            for step in found:
                yield Refusal(
                    reason="GateCannotDecide",
                    field=step.field,
                    given=step.given,
                    allowed=step.why,
                    example=step.example,
                )
            return
