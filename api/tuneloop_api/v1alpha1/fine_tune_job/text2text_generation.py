"""The rules that hold other fields of the spec to `task: text2text-generation`: a text that is to be written is no class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.v1alpha1.fine_tune_job.task_options import SpecWithTask

TASK = "text2text-generation"


def text2text_generation_rules() -> tuple[Rule, ...]:
    """Return the rules, in the order of the fields."""
    return (
        _without(
            "model.labels",
            given="has(self.model.labels)",
            holds=lambda spec: spec.model.labels is None,
            why="a text to write has no classes to name",
        ),
        _without(
            "data.split.stratify",
            given="has(self.data.split) && self.data.split.?stratify.orValue(false)",
            holds=lambda spec: spec.data.split is None or not spec.data.split.stratify,
            why="a text to write has no class to stratify by",
        ),
        _without(
            "data.allowMissingClasses",
            given="self.data.?allowMissingClasses.orValue(false)",
            holds=lambda spec: not spec.data.allow_missing_classes,
            why="a text to write has no class that could be missing",
        ),
        _without(
            "output.formats",
            given="has(self.output) && has(self.output.formats) && self.output.formats.exists(format, format != 'safetensors')",
            holds=lambda spec: spec.output is None or {*(spec.output.formats or ())} <= {"safetensors"},
            why="one ONNX file holds one pass, and writing takes a pass for each token",
        ),
        _without(
            "evaluation.compareWith",
            given="has(self.evaluation) && has(self.evaluation.compareWith)",
            holds=lambda spec: spec.evaluation is None or spec.evaluation.compare_with is None,
            why="models are compared by which rows they have right, and a text is near or far",
        ),
    )


def _without(field: str, *, given: str, holds: Callable[[SpecWithTask], bool], why: str) -> Rule:
    """given: whether the field is there, in CEL; holds: whether it is not, in Python."""
    return Rule(
        field=field,
        reason="FieldValueForbidden",
        message=f"cannot be combined with task: {TASK}: {why}; leave it out",
        cel=f"self.task != '{TASK}' || !({given})",
        holds=lambda spec: spec.task != TASK or holds(spec),
    )
