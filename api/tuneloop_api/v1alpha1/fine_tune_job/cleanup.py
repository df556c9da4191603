"""What is left of a job that has succeeded: `spec.cleanup`."""

from __future__ import annotations

from typing import Literal

from tuneloop_api.wire.model import SpecModel


class Cleanup(SpecModel):
    """What is left of a job that has succeeded."""

    checkpoints: Literal["KeepBest", "KeepAll", "Delete"] | None = None
    """Checkpoints that stay once the artifact is published: `KeepBest` the one that was published, `KeepAll` those that retention left, `Delete` none. A job that failed
    keeps its checkpoints. Default: `KeepBest`."""
