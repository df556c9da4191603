"""What `prepare` finds of the comparison before any GPU is held: the champion's artifact and the recent rows, as `export` will read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.export.champion.artifact import open_champion
from tuneloop_trainer.export.champion.rows import recent_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_api.contract.run_config import RunConfig


def notes_on_champion(config: RunConfig, dataset: Path, *, labels: Sequence[str]) -> list[str]:
    """Return what a person should know of the recent rows. Raises ConfigError or DataError where `export` would."""
    if open_champion(config, labels=labels) is None:
        return []
    recent = recent_rows(config, dataset, labels=labels)
    if recent is None:
        return []
    left_out = (
        f"; {recent.left_out:,} are left out: their texts stand in training or validation, or twice"
        if recent.left_out
        else ""
    )
    return [f"{len(recent.rows):,} recent rows are compared with the champion{left_out}"]
