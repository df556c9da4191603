"""The rules that hold other fields of the spec to `task: fill-mask`: what needs labels, and what a model of masked tokens does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.task_exclusions import safetensors_alone, without_classes, without_comparison

if TYPE_CHECKING:
    from tuneloop_api.wire.rules import Rule

TASK = "fill-mask"


def fill_mask_rules() -> tuple[Rule, ...]:
    """Return the rules, in the order of the fields."""
    return (
        *without_classes(
            TASK,
            names="a text without a label has no classes to name",
            stratify="a text without a label has no class to stratify by",
            missing="a text without a label has no class that could be missing",
        ),
        safetensors_alone(TASK, why="an ONNX file would compute the whole vocabulary for every token of a text"),
        without_comparison(
            TASK, why="models are compared by what they choose for a text, and no text has one right choice here"
        ),
    )
