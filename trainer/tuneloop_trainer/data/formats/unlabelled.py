"""What formats have in common whose rows have no label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.formats.row_format import SourceToParse


def refuse_labels(sources: Sequence[SourceToParse], settings: Settings) -> None:
    """Raise ConfigError for settings of labels, which the rows do not have."""
    if settings.model.labels is not None:
        raise ConfigError("model.labels: the rows have no classes to name; leave labels out")
    for source in sources:
        if source.settings.label_rule is not None:
            raise ConfigError(f"{source.field}.labelRule: the rows have no label; leave labelRule out")
