"""What a task does not have: a rule that refuses a field of the spec beside it, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.v1alpha1.fine_tune_job.task_options import SpecWithTask


def without(task: str, field: str, *, given: str, holds: Callable[[SpecWithTask], bool], why: str) -> Rule:
    """Return the rule that refuses a setting. given: whether it is there, in CEL; holds: whether it is not, in Python."""
    return Rule(
        field=field,
        reason="FieldValueForbidden",
        message=f"cannot be combined with task: {task}: {why}; leave it out",
        cel=f"self.task != '{task}' || !({given})",
        holds=lambda spec: spec.task != task or holds(spec),
    )


def without_classes(task: str, *, names: str, stratify: str, missing: str) -> tuple[Rule, ...]:
    """Return the rules that refuse what needs classes. The texts say why the task has none to name, to stratify by, and that could be missing."""
    return (
        without(
            task,
            "model.labels",
            given="has(self.model.labels)",
            holds=lambda spec: spec.model.labels is None,
            why=names,
        ),
        without(
            task,
            "data.split.stratify",
            given="has(self.data.split) && self.data.split.?stratify.orValue(false)",
            holds=lambda spec: spec.data.split is None or not spec.data.split.stratify,
            why=stratify,
        ),
        without(
            task,
            "data.allowMissingClasses",
            given="self.data.?allowMissingClasses.orValue(false)",
            holds=lambda spec: not spec.data.allow_missing_classes,
            why=missing,
        ),
    )


def without_comparison(task: str, *, why: str) -> Rule:
    """Return the rule that refuses a comparison with a champion."""
    return without(
        task,
        "evaluation.compareWith",
        given="has(self.evaluation) && has(self.evaluation.compareWith)",
        holds=lambda spec: spec.evaluation is None or spec.evaluation.compare_with is None,
        why=why,
    )


def safetensors_alone(task: str, *, why: str) -> Rule:
    """Return the rule that refuses all other formats of the published model."""
    return without(
        task,
        "output.formats",
        given="has(self.output) && has(self.output.formats) && self.output.formats.exists(format, format != 'safetensors')",
        holds=lambda spec: spec.output is None or {*(spec.output.formats or ())} <= {"safetensors"},
        why=why,
    )
