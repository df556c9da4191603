"""`check`: everything that `prepare` finds out before it tokenizes, with nothing left behind."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_trainer.data.assign import assign
from tuneloop_trainer.data.collect import collect
from tuneloop_trainer.model_source import open_model
from tuneloop_trainer.prepare import locate_sources, refuse_too_long

if TYPE_CHECKING:
    from tuneloop_api.run_config import RunConfig

LOG = logging.getLogger(__name__)


def check(config: RunConfig) -> None:
    """Open the model, read every row, divide them. Raises what `prepare` would raise."""
    settings = config.settings
    model = open_model(settings.model, paths=config.paths)
    refuse_too_long(settings.data.max_tokens, model=model)
    sources = locate_sources(config)
    with tempfile.TemporaryDirectory(prefix="tuneloop-check-") as scratch:
        collected = collect(
            sources,
            data=settings.data,
            labels=settings.model.labels,
            spool=Path(scratch) / "texts.arrow",
            progress=lambda _done: None,
        )
        assigned = assign(collected.table, data=settings.data, labels=settings.model.labels)
    LOG.info("model: %s, %s; classes: %s", model.path, model.model_type, ", ".join(assigned.classes[:20]))
