"""What `prepare` finds of the comparison before any GPU is held: the champion's artifact, its tokenizer and the recent rows, as `export` will read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.data.locate_source import snapshots_of
from tuneloop_trainer.data.notes import source_notes
from tuneloop_trainer.dataset.shards import TOKENIZER
from tuneloop_trainer.export.champion.artifact import open_champion
from tuneloop_trainer.export.champion.encode import encode_rows, require_same_tokens, tokenizer_of
from tuneloop_trainer.export.champion.rows import golden_rows, recent_rows, recent_sources
from tuneloop_trainer.models.tokenizer import load_tokenizer
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.export.champion.artifact import Champion
    from tuneloop_trainer.export.champion.rows import RowSet


def notes_on_champion(config: RunConfig, dataset: Path, *, labels: Sequence[str]) -> list[str]:
    """Return what a person should know of the recent rows. Raises ConfigError or DataError where `export` would."""
    champion = open_champion(config, labels=labels)
    if champion is None:
        return []
    recent = recent_rows(config, dataset, labels=labels)
    _require_same_tokenizer(champion, config, dataset, [golden_rows(dataset), *([recent] if recent else [])], labels)
    if recent is None:
        return []
    left_out = (
        f"; {recent.left_out:,} are left out: their texts stand in training or validation, or twice"
        if recent.left_out
        else ""
    )
    of_sources = source_notes(recent_sources(config, snapshots=snapshots_of(config)))
    return [*of_sources, f"{len(recent.rows):,} recent rows are compared with the champion{left_out}"]


def _require_same_tokenizer(
    champion: Champion, config: RunConfig, dataset: Path, sets: Sequence[RowSet], labels: Sequence[str]
) -> None:
    task, label_ids = task_of(config.settings), {label: index for index, label in enumerate(labels)}
    own_tokenizer = load_tokenizer(dataset / TOKENIZER, as_text=task.reads_text_alone)
    if config.settings.model.chat_template is not None:
        own_tokenizer.chat_template = config.settings.model.chat_template
    tokenizers = own_tokenizer, tokenizer_of(champion, task=task)
    for rows in sets:
        own, other = (encode_rows(rows.rows, tokenizer, task=task, label_ids=label_ids) for tokenizer in tokenizers)
        require_same_tokens(own, other, name=rows.name)
