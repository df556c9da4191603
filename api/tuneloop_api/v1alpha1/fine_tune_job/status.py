"""The status of a FineTuneJob: what became of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tuneloop_api.v1alpha1.common import (
    Conditions,
    LongText,
    Name,
    ReportedImage,
    ShortText,
)
from tuneloop_api.v1alpha1.failure import FailureReport
from tuneloop_api.v1alpha1.fine_tune_job.status_results import ArtifactStatus, DataStatus, EvaluationStatus
from tuneloop_api.wire.model import MessageModel, Open, without_nulls


class StageResult(MessageModel):
    """What a stage handed on: a file on the claim."""

    path: LongText
    """Path of the file, as the pods see it."""
    sha256: ShortText
    """SHA-256 of the file's content; the next stage reads nothing else."""


class Child(MessageModel):
    """The Job of a stage, by name and uid."""

    name: Name
    """Name of the Job, in the namespace of this object."""
    uid: ShortText | None = None
    """Uid of the Job, once the API server has returned it; another Job of the same name is not ours."""
    ended: bool | None = None
    """Whether the end of the Job was observed and counted. Absent while the Job is wanted."""
    result: StageResult | None = None
    """What the Job handed on to the next stage, once it succeeded."""


class Children(MessageModel):
    """The Jobs of the three stages."""

    prepare: Child | None = None
    """Job that prepares the data and looks at the model."""
    train: Child | None = None
    """Job of the current training attempt, with one pod for each node."""
    export: Child | None = None
    """Job that exports, measures and publishes the model."""


class Restarts(MessageModel):
    """How often training was restarted, and why."""

    total: int = 0
    """Number of restarts of any kind since the job was created."""
    failure: int = 0
    """Number of restarts after failures; limited by `failurePolicy.maxTotalRestarts`."""
    disruption: int = 0
    """Number of restarts after evictions, preemptions and lost nodes; limited by `failurePolicy.maxDisruptions`."""
    without_progress: int = 0
    """Number of restarts after failures since the newest checkpoint; limited by `failurePolicy.maxRestarts`."""
    since_checkpoint: int = 0
    """Number of restarts of any kind since the newest checkpoint; the more, the longer the next restart waits."""
    reduced: int | None = None
    """Number of times that the micro-batch was halved because a GPU had no memory left; two at most."""
    non_finite_step: int | None = None
    """Optimizer step whose loss was not finite when training last went one checkpoint back; the same step again fails the job."""
    last_reason: ShortText | None = None
    """Class of the failure or disruption behind the last restart, as in `status.failure.class`."""
    last_time: ShortText | None = None
    """When the last restart was decided (RFC 3339)."""


class EvaluationValue(MessageModel):
    """The newest validation result."""

    name: ShortText
    """Name of the metric that was measured, such as `loss`."""
    value: float
    """What the metric was on the validation split."""


class Progress(MessageModel):
    """How far the current stage is."""

    percent: ShortText | None = None
    """Progress of the whole job over its three stages, for example `45%`."""
    stage: ShortText | None = None
    """Stage that reported last: prepare, train or export."""
    step: int | None = None
    """Number of optimizer steps that are done, those of earlier attempts included."""
    start_step: int | None = None
    """Optimizer step that the current attempt started from: that of its checkpoint, or 0."""
    total_steps: int | None = None
    """Number of optimizer steps that the whole run is planned to take."""
    epoch: float | None = None
    """Number of passes over the training split that are done; may be a fraction."""
    loss: float | None = None
    """Training loss of the last step that was reported, to six digits."""
    evaluation: EvaluationValue | None = None
    """The newest result on the validation split."""
    tokens_per_second: float | None = None
    """Number of tokens that are trained in a second over all ranks, padding aside."""
    step_seconds: float | None = None
    """Time that the optimizer steps of the current attempt took so far, in seconds."""
    eta: ShortText | None = None
    """Time that the current stage has left, as text for people, for example `12m`."""
    eta_seconds: int | None = None
    """Time that the current stage has left, in seconds, for programs."""
    last_heartbeat: ShortText | None = None
    """When the pods last reported how far they are (RFC 3339)."""


class SearchStatus(MessageModel):
    """How far a search is, and the best trial so far."""

    trial: ShortText | None = None
    """How many trials have ended, of how many, for example `7/20`."""
    pruned: int | None = None
    """Number of trials that ended early, since others were better."""
    best: int | None = None
    """Number of the best trial, counted from 1."""
    metric: ShortText | None = None
    """Metric of the validation split that trials are compared by."""
    value: float | None = None
    """What the best trial has of it."""
    parameters: Annotated[dict[str, ShortText], Field(max_length=8), BeforeValidator(without_nulls)] | None = None
    """Values of the best trial, by the path of their field."""


class SavedCheckpoint(MessageModel):
    """A checkpoint that was committed."""

    step: int
    """Number of optimizer steps that were done when it was saved."""
    path: LongText | None = None
    """Folder of the checkpoint on the claim, as the pods see it."""
    time: ShortText | None = None
    """When the checkpoint was whole on disk (RFC 3339)."""
    metric: ShortText | None = None
    """Metric that chose the checkpoint; only for the best checkpoint."""
    value: float | None = None
    """What that metric was at the checkpoint."""


class CheckpointStatus(MessageModel):
    """The checkpoints that a restart would use."""

    latest: SavedCheckpoint | None = None
    """The newest whole checkpoint; a restart goes on from it."""
    best: SavedCheckpoint | None = None
    """The best checkpoint on the validation split, by `training.bestMetric`."""
    save_seconds_p95: Annotated[float | None, Field(alias="saveSecondsP95")] = None
    """Time from the begin of a save to the whole checkpoint, as 95th percentile; a grace period below it is too short to save in."""


class AttemptRecord(MessageModel):
    """One finished training attempt."""

    attempt: int
    """Number of the attempt, counted from 1."""
    start_step: int | None = None
    """Optimizer step that the attempt started from."""
    end_step: int | None = None
    """Last optimizer step that the attempt reported."""
    started: ShortText | None = None
    """When the Job of the attempt was created (RFC 3339)."""
    ended: ShortText | None = None
    """When the end of the attempt was observed (RFC 3339)."""
    failure_class: Annotated[ShortText | None, Field(alias="class")] = None
    """Class of the attempt's failure, as in `status.failure.class`; absent if it succeeded or was suspended."""
    reason: ShortText | None = None
    """How the attempt ended: Succeeded, Failed, Suspended, Shrunk or NodesReadmitted (it found too few nodes without those that were avoided)."""
    node: ShortText | None = None
    """Name of the node on which the pod ran that failed first."""
    nodes: int | None = None
    """How many nodes the attempt ran on, with one training pod each."""


class AvoidedNode(MessageModel):
    """A node that later attempts stay away from."""

    name: ShortText
    """Name of the node, as `kubectl get nodes` shows it."""
    reason: ShortText
    """Class of the failures that happened there, as in `status.failure.class`."""


class Usage(MessageModel):
    """What the training has used, up to the end of the last attempt or the last time that its pods stopped running."""

    gpu_seconds: float = 0
    """Seconds of GPUs held by training pods: nodes x GPUs of a node x time."""
    active_seconds: float = 0
    """Seconds in which all training pods ran; `activeDeadlineSeconds` limits them."""
    useful_seconds: float = 0
    """Seconds of optimizer steps whose result was kept."""
    lost_steps: int = 0
    """Number of optimizer steps that had to be made again, since no checkpoint held them."""
    goodput: float | None = None
    """Useful seconds as a part of the active seconds, 0 to 1; the rest went into starting, loading, measuring, saving and lost steps."""


class Failure(FailureReport):
    """Why the job failed, or why training was last restarted."""

    failure_class: Annotated[ShortText, Field(alias="class")]
    """What kind of failure it was, as one word that decides whether a restart may help."""
    stage: ShortText | None = None
    """Stage that failed: prepare, train or export."""
    rank: int | None = None
    """Rank that failed first; absent where no single rank did."""
    step: int | None = None
    """Optimizer step at which it failed, counted from 1, or the last step that was made."""
    retryable: bool | None = None
    """Whether a restart may help; false where the same would happen again."""


class Lineage(MessageModel):
    """Where the artifact comes from."""

    model_revision: ShortText | None = None
    """Commit of a base model from the hub, or digest of a base model from a folder."""
    data_digest: ShortText | None = None
    """SHA-256 of the prepared data that the model learned from."""
    image_digest: ShortText | None = None
    """Digest of the trainer image that made the model, as the node's runtime reported it."""
    config_hash: ShortText | None = None
    """Hash of every setting that the result of the training depends on."""


JobPhase = Literal[
    "Pending", "Preparing", "Queued", "Running", "Restarting", "Suspended", "Exporting", "Succeeded", "Failed"
]


class FineTuneJobStatus(MessageModel):
    """What became of the job."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status was computed from."""
    phase: Annotated[JobPhase | None, Open(None)] = None
    """Where the job is in its life, as one word for people; programs look at `conditions`."""
    conditions: Conditions | None = None
    """Aspects of the state, one entry each: Accepted, Prepared, PodsReady, Complete, Failed, Suspended, Ready and others. Accepted is False where the spec is refused, and says why."""
    start_time: ShortText | None = None
    """When the first stage was created (RFC 3339); from then on the spec is frozen."""
    completion_time: ShortText | None = None
    """When the job succeeded or failed (RFC 3339)."""
    attempt: int | None = None
    """Number of the current training attempt, counted from 1; each restart is a new attempt."""
    children: Children | None = None
    """The Jobs of the three stages, by name and uid."""
    restarts: Restarts | None = None
    """How often training was restarted, and why."""
    image: ReportedImage | None = None
    """Image that the pods of all stages run; chosen once, when the job starts."""
    progress: Progress | None = None
    """How far the job and its current stage are, as the pods reported last."""
    search: SearchStatus | None = None
    """The trials; only for jobs with `spec.search`."""
    running_since: ShortText | None = None
    """Since when all pods of the current attempt run (RFC 3339); absent while they do not."""
    first_step_time: ShortText | None = None
    """When the first optimizer step of the job was reported (RFC 3339)."""
    nodes: int | None = None
    """Number of nodes of the current attempt; fewer than `spec.resources.nodes` if it had to be made smaller."""
    micro_batch_size: int | None = None
    """Rows of a micro-batch after a GPU had no memory left; absent as long as the planned number holds."""
    resume_before: int | None = None
    """Step of the checkpoint that the current attempt must not go on from, since a loss that was not finite followed it."""
    avoided_nodes: Annotated[list[AvoidedNode], Field(max_length=32)] | None = None
    """Nodes that later attempts stay away from, since this job failed there."""
    usage: Usage | None = None
    """What the training has used."""
    workers: ShortText | None = None
    """How many of the training pods are ready, for example `2/2`."""
    checkpoint: CheckpointStatus | None = None
    """The checkpoints that a restart would use."""
    resume: Annotated[Literal["exact", "rounding"] | None, Open("rounding")] = None
    """How restarts so far went on: `exact` if every bit is as if there had been none, `rounding` if results differ in the last digits."""
    history: Annotated[list[AttemptRecord], Field(max_length=10)] | None = None
    """The last ten attempts that have ended, newest last."""
    failure: Failure | None = None
    """Why the job failed, or why training was last restarted: what, where and what to do."""
    resolved: Annotated[dict[str, Any], Field(max_length=64)] | None = None
    """Every value that the spec left to be chosen, as it was chosen once; for example learningRate and maxTokens."""
    data: DataStatus | None = None
    """What the data preparation made of the sources: rows, splits and what was left out."""
    evaluation: EvaluationStatus | None = None
    """What the exported model achieved on the test split."""
    artifact: ArtifactStatus | None = None
    """The published model: where it is, and how to tell that it is the same."""
    lineage: Lineage | None = None
    """What the artifact was made from: model, data, image and settings."""
