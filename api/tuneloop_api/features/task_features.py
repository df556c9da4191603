"""The seam `TaskFeatures`: the features of a task. A task of the trainer and the same task of the server name the same object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Values: TypeAlias = "Mapping[str, float | str | None]"
"""Feature → its value for one text: a number, or a choice. None: the feature does not apply to the text."""


@dataclass(frozen=True, kw_only=True)
class TaskFeatures:
    """What is measured of a model's answer to one text. C = classes."""

    numbers: tuple[str, ...]
    """Names of the features that are numbers."""
    choices: Mapping[str, Callable[[Sequence[str]], list[str]]]
    """Name of each feature that is a choice → class names → all that can be chosen."""
    values: Callable[[Sequence[Sequence[float]], Sequence[str]], Values] | None
    """(logits of the text's targets, [targets, C]; class names) → the values. A target is what the trainer's task calls so.
    None: the answer is a text that the model generates (`generated_answers`)."""
    has_projections: bool = True
    """Whether projections of the hidden state are features, too (`projections`)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all features."""
        return (*self.numbers, *self.choices)
