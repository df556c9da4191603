"""Features of text generation: those of generated answers."""

from __future__ import annotations

from tuneloop_api.features.generated_answers import GENERATED_FEATURES

TEXT_GENERATION_FEATURES = GENERATED_FEATURES
