"""The rules that hold other fields of the spec to `task: text2text-generation`: a text that is to be written is no class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.task_exclusions import safetensors_alone, without_classes, without_comparison

if TYPE_CHECKING:
    from tuneloop_api.wire.rules import Rule

TASK = "text2text-generation"


def text2text_generation_rules() -> tuple[Rule, ...]:
    """Return the rules, in the order of the fields."""
    return (
        *without_classes(
            TASK,
            names="a text to write has no classes to name",
            stratify="a text to write has no class to stratify by",
            missing="a text to write has no class that could be missing",
        ),
        safetensors_alone(TASK, why="one ONNX file holds one pass, and writing takes a pass for each token"),
        without_comparison(TASK, why="models are compared by which rows they have right, and a text is near or far"),
    )
