"""Text generation has no feature of its own: an answer is no class and no number. The features of the prompt are those of every text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.features.task_features import TaskFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.features.task_features import Values


def _values(_logits: Sequence[Sequence[float]], _labels: Sequence[str]) -> Values:
    return {}


TEXT_GENERATION_FEATURES = TaskFeatures(numbers=(), choices={}, values=_values, has_projections=False)
