"""Which row format the rows of a job have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.formats.row_format import RowFormat
    from tuneloop_trainer.tasks.task import Task


def choose_format(settings: Settings, *, task: Task) -> RowFormat:
    """Return the format of `data.format`, or the usual format of the task for `auto`. Raises ConfigError if the task cannot learn from the format."""
    allowed = task.formats
    name = allowed[0] if settings.data.format == "auto" else settings.data.format
    if name not in allowed:
        raise ConfigError(
            f"data.format: the task {task.name} does not learn from {name}",
            hint=f"set data.format: {' or '.join(allowed)}, or leave it out",
        )
    return FORMATS[name]
