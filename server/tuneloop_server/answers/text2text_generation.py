"""Answers of text-to-text generation: as those of text generation, but that they do not tell how they ended."""

from __future__ import annotations

from dataclasses import replace

from tuneloop_server.answers.answer_format import Generating
from tuneloop_server.answers.text_generation import TEXT_GENERATION_ANSWERS

NESTED = "generate_parameters"
"""Parameter of Hugging Face's API whose object may hold those of generation."""
TEXT2TEXT_ANSWERS = replace(
    TEXT_GENERATION_ANSWERS,
    generating=Generating(
        parameters={}, greedy={"do_sample": False}, is_drawn=False, holds_conversations=False, nested=NESTED
    ),
)
