"""The rules of a FineTuneJob whose task is question answering: what answers as spans do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.task_options import has_label_rules
from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.v1alpha1.fine_tune_job.task_options import SpecWithTask

TASK = "question-answering"


def question_answering_rules() -> tuple[Rule, ...]:
    """Return the rules of the spec. An answer is a span of its context, and no class."""
    label_rules = " || ".join(
        f"has(self.data.{split}) && self.data.{split}.exists(source, has(source.labelRule))"
        for split in ("train", "validation", "test")
    )
    return (
        _without(
            "model.labels",
            given="has(self.model.labels)",
            holds=lambda spec: spec.model.labels is None,
            why="an answer is a span of the context, and no class to name",
        ),
        _without(
            "data",
            given=label_rules,
            holds=lambda spec: not has_label_rules(spec.data),
            why="a labelRule makes a class of a number, and an answer is a span of the context",
        ),
        _without(
            "data.split.stratify",
            given="has(self.data.split) && self.data.split.?stratify.orValue(false)",
            holds=lambda spec: spec.data.split is None or not spec.data.split.stratify,
            why="answers are no classes to stratify by",
        ),
        _without(
            "data.allowMissingClasses",
            given="self.data.?allowMissingClasses.orValue(false)",
            holds=lambda spec: not spec.data.allow_missing_classes,
            why="answers have no classes that could be missing",
        ),
        _without(
            "training.labelSmoothing",
            given="has(self.training) && self.training.?labelSmoothing.orValue(0.0) > 0.0",
            holds=lambda spec: spec.training is None or not spec.training.label_smoothing,
            why="it would spread the probability over places outside of the context",
        ),
        _without(
            "output.formats",
            given="has(self.output) && has(self.output.formats) && self.output.formats.exists(name, name.startsWith('onnx'))",
            holds=lambda spec: (
                spec.output is None or not any(name.startswith("onnx") for name in spec.output.formats or ())
            ),
            why="ONNX files are written for models with one output, and this one has two, the start and the end of the answer; safetensors is allowed",
        ),
        _without(
            "evaluation.compareWith",
            given="has(self.evaluation) && has(self.evaluation.compareWith)",
            holds=lambda spec: spec.evaluation is None or spec.evaluation.compare_with is None,
            why="models are compared by classes that both choose, and answers are spans",
        ),
    )


def _without(field: str, *, given: str, holds: Callable[[SpecWithTask], bool], why: str) -> Rule:
    """A setting that answers do not have. given: whether it is there, in CEL; holds: whether it is not, in Python."""
    return Rule(
        field=field,
        reason="FieldValueForbidden",
        message=f"cannot be combined with task: {TASK}: {why}; leave it out",
        cel=f"self.task != '{TASK}' || !({given})",
        holds=lambda spec: spec.task != TASK or holds(spec),
    )
