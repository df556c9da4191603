"""What a job may cost: `spec.budget`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuneloop_api.wire.model import SpecModel


class Budget(SpecModel):
    """What the job may cost."""

    max_gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """Hours of GPUs held by training pods, all attempts together, after which the job fails; its checkpoints stay. Default: none. For example `64`."""
