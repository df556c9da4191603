"""When and how training progress is saved: `spec.checkpoint`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, FilesUri, positive_duration
from tuneloop_api.v1alpha1.fine_tune_job.data import Count
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import applies_only, not_together


class Checkpoint(SpecModel):
    """When and how training progress is saved."""

    every: Duration | None = None
    """Time between two checkpoints: what a restart loses at most. Whole numbers with the units d, h, m, s, longer than 0s. Not together with `everySteps`.
    Default: planned from what a save costs, so that steps wait for it at most 1 % of the time, between 10s and 15m. For example `10m`."""
    every_steps: Count | None = None
    """Number of optimizer steps between two checkpoints. Not together with `every`. Default: none, `every` decides. For example `500`."""
    async_: Annotated[bool | None, Field(alias="async")] = None
    """Whether files are written beside the next steps: true holds training up only for a copy in memory, false until the checkpoint is whole. Default: true."""
    keep_last: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of newest checkpoints that are kept, 1 to 100; older ones are deleted. Default: 2. For example `3`."""
    keep_best: Annotated[int, Field(ge=0, le=100)] | None = None
    """Number of best checkpoints that are kept besides, 0 to 100; a checkpoint that is to be published is kept in any case. Default: 1. For example `3`."""
    resume: Literal["auto", "never"] | None = None
    """Where the first attempt begins: `auto` goes on from the newest whole checkpoint in the job's folder, `never` removes those that an earlier run has left there
    and starts from step 0. A restart goes on from this job's own in any case. Default: `auto`."""
    resume_from: FilesUri | None = None
    """Checkpoint of another job that training goes on from, with the same model, data, method and training settings: a job's folder, its folder `checkpoints`, or
    one checkpoint. Read once, before the first attempt. Not together with resume `never`. Default: none. For example `pvc://models/jobs/reviews-1a2b3c4d`."""
    grace_period: Duration | None = None
    """Time that a training pod gets to save when it is asked to stop, before it is killed. Whole numbers with the units d, h, m, s. Default: 5m. For example `90s`."""

    rules = (
        not_together("every", "every_steps"),
        positive_duration("every"),
        applies_only(
            "resume_from",
            to="resume: auto",
            holds=lambda checkpoint: checkpoint.resume != "never",
            cel="self.?resume.orValue('auto') == 'auto'",
        ),
    )
