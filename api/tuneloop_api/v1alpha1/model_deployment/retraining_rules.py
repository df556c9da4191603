"""Rules of `spec.retraining` about the other blocks of a ModelDeployment: a way back for its models, and data for its triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.model_deployment.feedback import IS_ON_CEL
from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import TriggerType

_ON_LABELS: tuple[TriggerType, ...] = ("accuracy", "newData")


def _triggers_need(*types: TriggerType, cel: str, is_there: Any, message: str) -> Rule:
    """Return the rule that triggers of these types apply only to a deployment with their data. is_there: of the spec."""

    def holds(spec: Any) -> bool:
        triggers = (spec.retraining.triggers if spec.retraining else None) or ()
        return is_there(spec) or all(trigger.type not in types for trigger in triggers)

    return Rule(
        field="retraining.triggers",
        reason="FieldValueForbidden",
        cel=f"!has(self.retraining) || !has(self.retraining.triggers) || {cel}"
        f" || !self.retraining.triggers.exists(trigger, trigger.type in {[*types]})",
        holds=holds,
        message=message,
    )


RETRAINING_RULES = (
    Rule(
        field="retraining",
        reason="FieldValueForbidden",
        cel="!has(self.retraining) || has(self.rollout)",
        holds=lambda spec: spec.retraining is None or spec.rollout is not None,
        message="applies only to deployments with rollout (a model that nobody looked at needs a way back)",
    ),
    Rule(
        field="retraining",
        reason="FieldValueForbidden",
        cel="!has(self.retraining) || !has(self.adapters)",
        holds=lambda spec: spec.retraining is None or spec.adapters is None,
        message="cannot be combined with adapters; leave one of the two out",
    ),
    _triggers_need(
        *_ON_LABELS,
        cel=IS_ON_CEL,
        is_there=lambda spec: spec.feedback is not None and spec.feedback.is_on,
        message="type: accuracy and newData apply only with feedback, which counts labels; for example feedback: {labelDelay: 1d}",
    ),
    _triggers_need(
        "drift",
        cel="has(self.monitoring)",
        is_there=lambda spec: spec.monitoring is not None,
        message="type: drift applies only with monitoring, which takes the baseline; for example monitoring: {baselineWindow: 1d}",
    ),
)
"""Of the spec."""
