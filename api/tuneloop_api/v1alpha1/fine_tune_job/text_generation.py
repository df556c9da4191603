"""The rules of a FineTuneJob whose task is text generation: what a text that is to be written does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.task_exclusions import safetensors_alone, without_classes
from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.fine_tune_job.task_options import SpecWithTask

TASK = "text-generation"
LOSSES = {"messages": ("assistant", "all"), "prompt-completion": ("completion", "all"), "text": ("all",)}
"""What the loss may be taken on, by format of the rows; the first is the usual one."""


def text_generation_rules() -> tuple[Rule, ...]:
    """Return the rules of the spec. A text that is to be written is no class."""
    return (
        _chat_template_rule(),
        _loss_rule(),
        *without_classes(
            TASK,
            names="a text that is to be written is no class to name",
            stratify="texts have no classes to stratify by",
            missing="texts have no classes that could be missing",
        ),
        safetensors_alone(
            TASK,
            why="an ONNX file has no cache of keys and values, and would compute the whole text again for each token; safetensors is allowed",
        ),
    )


def _chat_template_rule() -> Rule:
    return Rule(
        field="model.chatTemplate",
        reason="FieldValueForbidden",
        message=f"applies only to task: {TASK}; leave it out",
        cel=f"!has(self.model.chatTemplate) || self.task == '{TASK}'",
        holds=lambda spec: spec.model.chat_template is None or spec.task == TASK,
    )


def _loss_fits(spec: SpecWithTask) -> bool:
    loss = (spec.task_options and spec.task_options.loss_on) or "auto"
    allowed = LOSSES.get(spec.data.format or "auto", LOSSES["messages"])
    return spec.task != TASK or loss == "auto" or loss in allowed


def _loss_rule() -> Rule:
    """The loss is taken on a part that the rows have."""
    loss = "self.taskOptions.?lossOn.orValue('auto')"
    form = "self.data.?format.orValue('auto')"
    return Rule(
        field="taskOptions.lossOn",
        message="must be a part that the rows have: assistant or all for data.format: messages (or auto), completion or all for prompt-completion, all for text; or auto",
        cel=(
            f"self.task != '{TASK}' || !has(self.taskOptions) || {loss} in ['auto', 'all'] || "
            f"({loss} == 'assistant' && {form} in ['auto', 'messages']) || ({loss} == 'completion' && {form} == 'prompt-completion')"
        ),
        holds=_loss_fits,
    )
