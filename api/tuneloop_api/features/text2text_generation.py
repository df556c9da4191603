"""Features of text-to-text generation: those of generated answers. What the model reads is counted as every text is."""

from __future__ import annotations

from tuneloop_api.features.generated_answers import GENERATED_FEATURES

TEXT2TEXT_FEATURES = GENERATED_FEATURES
