"""The status of a FineTuneJob: what became of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tuneloop_api.model import WireModel, without_nulls
from tuneloop_api.v1alpha1.common import (
    Conditions,
    LongText,
    Name,
    ShortText,
)


class StageResult(WireModel):
    """What a stage handed on: a file on the claim."""

    path: LongText
    """Its path in the pods."""
    sha256: ShortText
    """Its content."""


class Child(WireModel):
    """The Job of a stage, by name and uid."""

    name: Name
    """Name of the child."""
    uid: ShortText | None = None
    """Its uid, once the API server told it."""
    ended: bool | None = None
    """Its end was seen and counted. Absent while it is wanted."""
    result: StageResult | None = None
    """What it handed on, once it succeeded."""


class Children(WireModel):
    """The Jobs of the three stages."""

    prepare: Child | None = None
    """Job of the data preparation."""
    train: Child | None = None
    """Job of the current training attempt."""
    export: Child | None = None
    """Job of the export."""


class Restarts(WireModel):
    """How often training was restarted, and why."""

    total: int = 0
    """All restarts."""
    failure: int = 0
    """Restarts after failures."""
    disruption: int = 0
    """Restarts after evictions, preemptions and lost nodes."""
    without_progress: int = 0
    """Restarts after failures since the newest checkpoint."""
    since_checkpoint: int = 0
    """Restarts of any kind since the newest checkpoint: they set the delay of the next one."""
    last_reason: ShortText | None = None
    """Class of the last one."""
    last_time: ShortText | None = None
    """When the last one was decided (RFC 3339)."""


class EvaluationValue(WireModel):
    """The newest validation result."""

    name: ShortText
    """Metric."""
    value: float
    """Its value."""


class Progress(WireModel):
    """How far the current stage is."""

    percent: ShortText | None = None
    """Progress of the whole job, for example `45%`."""
    stage: ShortText | None = None
    """Stage that reported last."""
    step: int | None = None
    """Optimizer steps done."""
    start_step: int | None = None
    """Step that the current attempt started from."""
    total_steps: int | None = None
    """Optimizer steps planned."""
    epoch: float | None = None
    """Passes over the training split done."""
    loss: float | None = None
    """Training loss of the last step."""
    evaluation: EvaluationValue | None = None
    """The newest validation result."""
    tokens_per_second: float | None = None
    """Tokens trained per second over all ranks, without padding."""
    eta: ShortText | None = None
    """Time left, for example `12m`."""
    eta_seconds: int | None = None
    """Time left in seconds."""
    last_heartbeat: ShortText | None = None
    """When the trainer last reported (RFC 3339)."""


class SavedCheckpoint(WireModel):
    """A checkpoint that was committed."""

    step: int
    """Optimizer steps that it holds."""
    path: LongText | None = None
    """Folder on the claim."""
    time: ShortText | None = None
    """When it was committed (RFC 3339)."""
    metric: ShortText | None = None
    """Metric that chose it, for the best one."""
    value: float | None = None
    """That metric's value."""


class CheckpointStatus(WireModel):
    """The checkpoints that a restart would use."""

    latest: SavedCheckpoint | None = None
    """The newest."""
    best: SavedCheckpoint | None = None
    """The best on the validation split."""


class AttemptRecord(WireModel):
    """One finished training attempt."""

    attempt: int
    """Its number, from 1."""
    start_step: int | None = None
    """Step that it started from."""
    end_step: int | None = None
    """Last step that it reported."""
    started: ShortText | None = None
    """When it was created (RFC 3339)."""
    ended: ShortText | None = None
    """When its end was seen (RFC 3339)."""
    failure_class: Annotated[ShortText | None, Field(alias="class")] = None
    """Class of its failure; absent if it succeeded or was suspended."""
    reason: ShortText | None = None
    """How it ended: Succeeded, Failed, Suspended, Lost."""


class Failure(WireModel):
    """Why the job failed, or why training was last restarted."""

    failure_class: Annotated[ShortText, Field(alias="class")]
    """Class of the failure (`tuneloop_api.exit_codes.FailureClass`)."""
    stage: ShortText | None = None
    """prepare, train or export."""
    exit_code: int | None = None
    """Exit code of the container."""
    rank: int | None = None
    """Rank that failed first."""
    pod: ShortText | None = None
    """Pod that failed first."""
    node: ShortText | None = None
    """Node of that pod."""
    message: LongText | None = None
    """What happened."""
    hint: LongText | None = None
    """What a person can do about it."""
    last_lines: Annotated[list[ShortText], Field(max_length=20)] | None = None
    """Last lines of the log."""
    retryable: bool | None = None
    """Whether a restart may help."""


class DataStatus(WireModel):
    """What `prepare` made of the sources."""

    rows: int | None = None
    """Usable rows in all splits."""
    splits: Annotated[dict[str, int], Field(max_length=8), BeforeValidator(without_nulls)] | None = None
    """Rows by split."""
    bad: int | None = None
    """Rows that could not be used."""
    digest: ShortText | None = None
    """Digest of the prepared data."""
    report: LongText | None = None
    """Path of the data report."""


class MetricValue(WireModel):
    """One measured number with its 95 % interval."""

    name: ShortText
    """Metric, for example `accuracy`."""
    split: ShortText
    """Rows that it was measured on."""
    value: float
    """Its value."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""


class BaselineValue(WireModel):
    """The accuracy of something simpler, on the same rows."""

    name: ShortText
    """majority, tfidf-linear or before-training."""
    value: float
    """Its accuracy."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""


class EvaluationStatus(WireModel):
    """What the exported model achieved on the test split."""

    metrics: Annotated[list[MetricValue], Field(max_length=64)] | None = None
    """Metrics with intervals."""
    baselines: Annotated[list[BaselineValue], Field(max_length=16)] | None = None
    """The same rows, by simpler means."""


class ArtifactStatus(WireModel):
    """The published model."""

    uri: LongText
    """Where it is, as `pvc://CLAIM/PATH`."""
    digest: ShortText
    """SHA-256 of its manifest, as `sha256:…`; the server checks it before it loads."""
    size_bytes: int | None = None
    """Size of all its files."""
    formats: Annotated[list[ShortText], Field(max_length=8)] | None = None
    """Weight formats in it."""


class Lineage(WireModel):
    """Where the artifact comes from."""

    model_revision: ShortText | None = None
    """Commit or digest of the base model."""
    data_digest: ShortText | None = None
    """Digest of the prepared data."""
    image_digest: ShortText | None = None
    """Digest of the trainer image."""
    config_hash: ShortText | None = None
    """Hash of what the training result depends on."""


JobPhase = Literal[
    "Pending", "Preparing", "Queued", "Running", "Restarting", "Suspended", "Exporting", "Succeeded", "Failed"
]


class FineTuneJobStatus(WireModel):
    """What became of the job."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status was computed from."""
    phase: JobPhase | None = None
    """Where the job is in its life."""
    conditions: Conditions | None = None
    """Aspects of the state: Accepted, Prepared, PodsReady, Complete, Failed and others."""
    start_time: ShortText | None = None
    """When the first stage was created (RFC 3339); from then on the spec is frozen."""
    completion_time: ShortText | None = None
    """When the job succeeded or failed (RFC 3339)."""
    attempt: int | None = None
    """Number of the current training attempt, from 1."""
    children: Children | None = None
    """The Jobs of the three stages."""
    restarts: Restarts | None = None
    """How often training was restarted, and why."""
    image: ShortText | None = None
    """Image that the stages run."""
    progress: Progress | None = None
    """How far the current stage is."""
    workers: ShortText | None = None
    """Ready training pods of all, for example `2/2`."""
    checkpoint: CheckpointStatus | None = None
    """The checkpoints that a restart would use."""
    resume: Literal["exact", "rounding"] | None = None
    """Whether every restart so far went on bit by bit, or up to rounding."""
    history: Annotated[list[AttemptRecord], Field(max_length=10)] | None = None
    """The last attempts, newest last."""
    failure: Failure | None = None
    """Why the job failed, or why training was last restarted."""
    resolved: Annotated[dict[str, Any], Field(max_length=64)] | None = None
    """Every value that was left to be chosen, as it was chosen."""
    data: DataStatus | None = None
    """What `prepare` made of the sources."""
    evaluation: EvaluationStatus | None = None
    """What the exported model achieved on the test split."""
    artifact: ArtifactStatus | None = None
    """The published model."""
    lineage: Lineage | None = None
    """Where the artifact comes from."""
