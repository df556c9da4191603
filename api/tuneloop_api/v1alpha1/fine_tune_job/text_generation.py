"""The rules of a FineTuneJob whose task is text generation: what a text that is to be written does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.v1alpha1.fine_tune_job.task_options import SpecWithTask

TASK = "text-generation"
LOSSES = {"messages": ("assistant", "all"), "prompt-completion": ("completion", "all"), "text": ("all",)}
"""What the loss may be taken on, by format of the rows; the first is the usual one."""


def text_generation_rules() -> tuple[Rule, ...]:
    """Return the rules of the spec. A text that is to be written is no class."""
    return (
        _chat_template_rule(),
        _loss_rule(),
        _without(
            "model.labels",
            given="has(self.model.labels)",
            holds=lambda spec: spec.model.labels is None,
            why="a text that is to be written is no class to name",
        ),
        _without(
            "data.split.stratify",
            given="has(self.data.split) && self.data.split.?stratify.orValue(false)",
            holds=lambda spec: spec.data.split is None or not spec.data.split.stratify,
            why="texts have no classes to stratify by",
        ),
        _without(
            "data.allowMissingClasses",
            given="self.data.?allowMissingClasses.orValue(false)",
            holds=lambda spec: not spec.data.allow_missing_classes,
            why="texts have no classes that could be missing",
        ),
        _without(
            "output.formats",
            given="has(self.output) && has(self.output.formats) && self.output.formats.exists(name, name.startsWith('onnx'))",
            holds=lambda spec: (
                spec.output is None or not any(name.startswith("onnx") for name in spec.output.formats or ())
            ),
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


def _without(field: str, *, given: str, holds: Callable[[SpecWithTask], bool], why: str) -> Rule:
    """A setting that texts do not have. given: whether it is there, in CEL; holds: whether it is not, in Python."""
    return Rule(
        field=field,
        reason="FieldValueForbidden",
        message=f"cannot be combined with task: {TASK}: {why}; leave it out",
        cel=f"self.task != '{TASK}' || !({given})",
        holds=lambda spec: spec.task != TASK or holds(spec),
    )
