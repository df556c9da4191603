"""The rules of a FineTuneJob whose task is question answering: what answers as spans do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.task_exclusions import (
    safetensors_alone,
    without,
    without_classes,
    without_comparison,
)
from tuneloop_api.v1alpha1.fine_tune_job.task_options import has_label_rules

if TYPE_CHECKING:
    from tuneloop_api.wire.rules import Rule

TASK = "question-answering"


def question_answering_rules() -> tuple[Rule, ...]:
    """Return the rules of the spec. An answer is a span of its context, and no class."""
    label_rules = " || ".join(
        f"has(self.data.{split}) && self.data.{split}.exists(source, has(source.labelRule))"
        for split in ("train", "validation", "test")
    )
    return (
        *without_classes(
            TASK,
            names="an answer is a span of the context, and no class to name",
            stratify="answers are no classes to stratify by",
            missing="answers have no classes that could be missing",
        ),
        without(
            TASK,
            "data",
            given=label_rules,
            holds=lambda spec: not has_label_rules(spec.data),
            why="a labelRule makes a class of a number, and an answer is a span of the context",
        ),
        without(
            TASK,
            "training.labelSmoothing",
            given="has(self.training) && self.training.?labelSmoothing.orValue(0.0) > 0.0",
            holds=lambda spec: spec.training is None or not spec.training.label_smoothing,
            why="it would spread the probability over places outside of the context",
        ),
        safetensors_alone(
            TASK,
            why="ONNX files are written for models with one output, and this one has two, the start and the end of the answer; safetensors is allowed",
        ),
        without_comparison(TASK, why="models are compared by classes that both choose, and answers are spans"),
    )
