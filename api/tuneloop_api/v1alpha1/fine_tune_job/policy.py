"""The part of a FineTuneJob's spec that says what happens around the training: checkpoints, failures, nodes, limits, what is left in the end."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, FilesUri, Name, positive_duration
from tuneloop_api.v1alpha1.fine_tune_job.data import Count
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only, not_together
from tuneloop_api.wire.text_formats import NAME


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
    """Number of best checkpoints that are kept besides, 0 to 100; one that is to be published is kept in any case. Default: 1. For example `3`."""
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


class FailureRule(SpecModel):
    """What follows some failures, in place of the built-in action."""

    failure_class: Annotated[FailureClass | None, Field(alias="class", strict=False)] = None
    """Class of failure that the rule is for, as in `status.failure.class`. Not together with `exitCodes`. Default: none, exit codes are compared.
    For example `Storage`."""
    exit_codes: Annotated[list[Annotated[int, Field(ge=1, le=255)]], Field(min_length=1, max_length=32)] | None = None
    """Exit codes of the container that failed first which the rule is for. Not together with `class`. Default: none, the class is compared.
    For example `[137]`."""
    action: Literal["Restart", "RestartFree", "ReduceMicroBatch", "Fail"]
    """What follows: `Restart` counts against maxRestarts, `RestartFree` against maxDisruptions, `ReduceMicroBatch` restarts with half the rows of a micro-batch and
    the same global batch, `Fail` ends the job."""

    rules = (
        Rule(
            message="exactly one of class and exitCodes must be given",
            cel="[has(self.class), has(self.exitCodes)].exists_one(given, given)",
            holds=lambda rule: (rule.failure_class is None) != (rule.exit_codes is None),
        ),
    )


class FailurePolicy(SpecModel):
    """How often training is restarted, and how long it may take to start or be silent."""

    max_restarts: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of restarts after failures without a newer checkpoint in between, 0 to 1000; after that the job fails. May be changed while the job runs. Default: 3.
    For example `10`."""
    max_total_restarts: Annotated[int, Field(ge=0, le=10000)] | None = None
    """Number of restarts after failures altogether, 0 to 10000; after that the job fails. May be changed while the job runs. Default: 50. For example `100`."""
    max_disruptions: Annotated[int, Field(ge=0, le=10000)] | None = None
    """Number of restarts after evictions, preemptions and lost nodes, 0 to 10000; after that the job fails. May be changed while the job runs. Default: 100.
    For example `1000`."""
    rules_: Annotated[list[FailureRule] | None, Field(alias="rules", max_length=32)] = None
    """What follows some failures, in place of the built-in action; the first rule that fits counts. Default: none. For example `[{class: Storage, action: Fail}]`."""
    start_deadline: Duration | None = None
    """Time that all pods of an attempt get to be placed, to have their image and to run, while no queue holds them; after that the job fails with what the API server
    and the nodes said. Whole numbers with the units d, h, m, s, longer than 0s. Default: 30m. For example `2h`."""
    hang_timeout: Duration | None = None
    """Time without a step or another sign of life after which training counts as hung and is restarted. Whole numbers with the units d, h, m, s, longer than 0s.
    Default: ten times the 95th percentile of the step time, at least 60s, and 10m for the first step. For example `10m`."""

    rules = (positive_duration("start_deadline"), positive_duration("hang_timeout"))


class Scheduling(SpecModel):
    """Where the training pods run, and what happens if there is not enough room."""

    queue_name: Annotated[str, NAME.text(most=63)] | None = None
    """Kueue's LocalQueue of this namespace that every attempt waits in. Default: none, attempts start at once. For example `team-a`."""
    priority_class_name: Name | None = None
    """PriorityClass of the training pods. May be changed while the job runs, for the next attempt. Default: the cluster's. For example `batch-low`."""
    min_nodes: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Least number of nodes to train on, 1 to 1024 and at most `resources.nodes`, if all of them cannot be had: the global batch stays the same, and each restart tries
    all nodes again. Default: `resources.nodes`. For example `1`."""
    shrink_after: Duration | None = None
    """Time that pods may be without a node before the next attempt is made smaller. Whole numbers with the units d, h, m, s, longer than 0s. Applies only to jobs with
    `minNodes`. Default: 15m. For example `5m`."""
    avoid_bad_nodes: bool | None = None
    """Whether later attempts stay away from nodes on which this job failed before, as long as there are others. Default: true."""

    rules = (
        applies_only(
            "shrink_after",
            to="jobs with minNodes",
            cel="has(self.minNodes)",
            holds=lambda scheduling: scheduling.min_nodes is not None,
        ),
        positive_duration("shrink_after"),
    )


class Cleanup(SpecModel):
    """What is left of a job that has succeeded."""

    checkpoints: Literal["KeepBest", "KeepAll", "Delete"] | None = None
    """Checkpoints that stay once the artifact is published: `KeepBest` the one that was published, `KeepAll` those that retention left, `Delete` none. A job that failed
    keeps its checkpoints. Default: `KeepBest`."""


class Preflight(SpecModel):
    """What is checked before any GPU is held."""

    dry_run: bool | None = None
    """Whether the job ends after its preparation: model, data, space and memory are checked, the plan is in `status.resolved`, and nothing is trained. Default: false."""


class Budget(SpecModel):
    """What the job may cost."""

    max_gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """Hours of GPUs held by training pods, all attempts together, after which the job fails; its checkpoints stay. Default: none. For example `64`."""


class Output(SpecModel):
    """What is published."""

    checkpoint: Literal["best", "last"] | None = None
    """Which checkpoint is published: the `best` on the validation split by `training.bestMetric`, or the `last`. Default: `best`."""
    merge_adapter: bool | None = None
    """Whether LoRA weights are merged into the model, so that it loads without PEFT; the adapter is published besides. Applies only to `method.type: lora`.
    Default: true."""
