"""Text-to-text generation has no features of its own: what is counted is the text that the model reads."""

from __future__ import annotations

from tuneloop_api.features.task_features import TaskFeatures

TEXT2TEXT_FEATURES = TaskFeatures(numbers=(), choices={}, values=lambda _sums, _labels: {}, has_projections=False)
