"""From a row of a file to a row of a task: one row format a file, and `FORMATS` as the table."""

from __future__ import annotations

from tuneloop_trainer.data.formats.messages import MESSAGES
from tuneloop_trainer.data.formats.prompt_completion import PROMPT_COMPLETION
from tuneloop_trainer.data.formats.source_target import SOURCE_TARGET
from tuneloop_trainer.data.formats.squad import SQUAD
from tuneloop_trainer.data.formats.text import TEXT
from tuneloop_trainer.data.formats.text_label import TEXT_LABEL
from tuneloop_trainer.data.formats.text_labels import TEXT_LABELS
from tuneloop_trainer.data.formats.text_score import TEXT_SCORE
from tuneloop_trainer.data.formats.tokens_tags import TOKENS_TAGS

FORMATS = {
    row_format.name: row_format
    for row_format in (
        TEXT_LABEL,
        TEXT_LABELS,
        TEXT_SCORE,
        TOKENS_TAGS,
        SQUAD,
        SOURCE_TARGET,
        MESSAGES,
        PROMPT_COMPLETION,
        TEXT,
    )
}
