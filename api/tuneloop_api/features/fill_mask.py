"""Features of fill-mask: those of the text alone. A text of training has many mask tokens at random places, and a request one at a place of the client's choice: what a model says of both is not comparable, nor what it makes of them (projections)."""

from __future__ import annotations

from tuneloop_api.features.task_features import TaskFeatures

FILL_MASK_FEATURES = TaskFeatures(numbers=(), choices={}, values=lambda _logits, _labels: {}, has_projections=False)
