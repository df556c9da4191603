"""What is left of the checkpoints once the artifact is published."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_trainer.checkpoint.manifest import order
from tuneloop_trainer.checkpoint.resume import committed
from tuneloop_trainer.checkpoint.retention import quarantined, remove, sweep

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import RunConfig

LOG = logging.getLogger(__name__)


def clean_checkpoints(config: RunConfig, *, attempt: int, published_step: int) -> None:
    """Remove the checkpoints that `cleanup.checkpoints` does not keep. The artifact is there: a checkpoint that cannot be removed is a warning.

    attempt: number of the attempt that ended training. A second call does no harm.
    """
    folder, keep = Path(config.paths.job_dir) / "checkpoints", config.settings.checkpoint.cleanup
    if keep == "KeepAll" or not folder.exists():
        return
    try:
        names = committed(folder)
        published = [name for name in names if (age := order(name)) and age[1] == published_step]
        kept = published[:1] if keep == "KeepBest" else []
        remove(folder, [name for name in [*names, *quarantined(folder)] if name not in kept])
        sweep(folder, attempt=attempt)
    except OSError as error:
        LOG.warning("%s: checkpoints cannot be removed: %s", folder, error)
