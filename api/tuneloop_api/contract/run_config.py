"""RunConfig: what the operator tells a stage, as JSON in an immutable ConfigMap mounted at `/etc/tuneloop/run.json`.

The trainer never reads the custom resource: it reads this. The settings repeat the spec's blocks with every documented default
filled in (this file is the defaults' only source); what stays None is chosen by `prepare` from the data and the model,
and handed on in `PrepareResult.resolved`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuneloop_api.v1alpha1.fine_tune_job.data import LabelRule, ModelSource
from tuneloop_api.v1alpha1.fine_tune_job.training import EvaluateEvery, MetricName
from tuneloop_api.wire.model import WireModel

RUN_CONFIG_PATH = "/etc/tuneloop/run.json"
Stage = Literal["prepare", "train", "export"]


class JobIdentity(WireModel):
    """The FineTuneJob that a stage works for."""

    namespace: str
    name: str
    uid: str


class ColumnSettings(WireModel):
    """Column names of a source."""

    text: str = "text"
    label: str = "label"
    tokens: str = "tokens"
    tags: str = "tags"


class SourceSettings(WireModel):
    """Rows from one file, folder or saved data set."""

    uri: str
    split: str = "train"
    columns: ColumnSettings = ColumnSettings()
    label_rule: LabelRule | None = None
    limit: int | None = None


class ValidationSettings(WireModel):
    """What to do with rows that cannot be used."""

    max_bad_fraction: float = 0.0
    samples: int = 20


class SplitSettings(WireModel):
    """How rows are divided."""

    validation: float = 0.1
    test: float = 0.1
    method: Literal["hash", "random"] = "hash"
    stratify: bool | None = None
    """None: true for `random` without `groupBy`, else false."""
    group_by: str | None = None
    seed: int = 42


class DeduplicateSettings(WireModel):
    """Which repeated rows are removed."""

    exact: bool = True
    across_splits: bool = True


class DataSettings(WireModel):
    """The rows to learn from and to measure on."""

    train: list[SourceSettings]
    validation: list[SourceSettings] | None = None
    test: list[SourceSettings] | None = None
    format: Literal["auto", "text-label", "tokens-tags"] = "auto"
    validate_rows: ValidationSettings = ValidationSettings()
    split: SplitSettings = SplitSettings()
    deduplicate: DeduplicateSettings = DeduplicateSettings()
    max_tokens: int | None = None


class TaskOptionSettings(WireModel):
    """What some tasks can be told besides."""

    tag_scheme: Literal["auto", "iob1", "iob2", "bioes"] = "auto"


class MethodSettings(WireModel):
    """Which parameters are trained."""

    type: str = "lora"
    """A name that the trainer knows (`tuneloop_trainer.methods.METHODS`)."""
    rank: int = 16
    alpha: int | None = None
    """None: 2 x rank."""
    dropout: float = 0.05
    target_modules: list[str] = Field(default=["all-linear"])


class EarlyStoppingSettings(WireModel):
    """Stop when the validation split gets no better."""

    metric: MetricName | None = None
    """None: the best metric."""
    patience: int = 3
    min_delta: float = 0.0


class TrainingSettings(WireModel):
    """Length, batches and optimizer."""

    epochs: float | None = None
    max_steps: int | None = None
    """Exactly one of `epochs` and `max_steps` is set (epochs: 3 where the spec gives neither)."""
    global_batch_size: int = 32
    micro_batch_size: int | None = None
    learning_rate: float | None = None
    scheduler: Literal["linear", "cosine", "constant", "wsd"] = "linear"
    warmup_ratio: float | None = None
    warmup_steps: int | None = None
    """Exactly one of `warmup_ratio` and `warmup_steps` is set (ratio: 0.06 where the spec gives neither)."""
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    dropout: float | None = None
    label_smoothing: float = 0.0
    evaluate_every: EvaluateEvery = EvaluateEvery(epochs=1.0)
    early_stopping: EarlyStoppingSettings | None = None
    best_metric: MetricName = "loss"
    seed: int = 42


class EvaluationSettings(WireModel):
    """How the result is measured."""

    bootstrap_samples: int = 2000
    baselines: bool = True


class DeepSpeedSettings(WireModel):
    """How memory is shared between ranks."""

    stage: int | None = None
    """None: 2, or 1 on a single rank."""
    offload_optimizer: Literal["none", "cpu"] = "none"


class GangSettings(WireModel):
    """The shape of the training gang; world size = nodes x processes_per_node."""

    nodes: int = 1
    gpus_per_node: int = 1
    processes_per_node: int = 1
    memory_bytes: int | None = None
    """Memory that a training pod may use; None: no limit."""
    hang_seconds: int | None = None
    """How long the ranks may be silent; None: found from the time of a step."""


class CheckpointSettings(WireModel):
    """When and how training progress is saved."""

    every_seconds: int | None = None
    every_steps: int | None = None
    """At most one of the two is set; neither: the trainer plans the time from what a save costs."""
    asynchronous: bool = True
    """Files are written beside the next steps."""
    keep_last: int = 2
    keep_best: int = 1
    resume: Literal["auto", "never"] = "auto"
    resume_from: str | None = None
    """Checkpoint of another job that `prepare` brings into this job's folder."""
    grace_seconds: int = 300
    cleanup: Literal["KeepBest", "KeepAll", "Delete"] = "KeepBest"
    """What `export` leaves of the checkpoints once the artifact is published."""


class OutputSettings(WireModel):
    """What is published."""

    checkpoint: Literal["best", "last"] = "best"
    merge_adapter: bool = True


class Settings(WireModel):
    """The spec with its defaults."""

    model: ModelSource
    task: str
    """A name that the trainer knows (`tuneloop_trainer.tasks.TASKS`)."""
    task_options: TaskOptionSettings = TaskOptionSettings()
    data: DataSettings
    method: MethodSettings = MethodSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    deepspeed: DeepSpeedSettings = DeepSpeedSettings()
    gang: GangSettings = GangSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    output: OutputSettings = OutputSettings()


class Paths(WireModel):
    """Every path that a stage may use. Local mode rewrites the prefixes; nothing else knows where things lie."""

    claims: dict[str, str]
    """Mount path of each claim: `pvc://CLAIM/PATH` is `claims[CLAIM]/PATH`."""
    datasets: str
    """Prepared data, one folder per digest."""
    models: str
    """Models taken from the hub."""
    job: str
    """This job's own folder: checkpoints/, artifact/, logs/ and the stage results lie in it."""
    job_uri: str
    """The same folder as `pvc://CLAIM/PATH`, for what is said to users."""
    termination_message: str = "/dev/termination-log"
    """File that the stage writes its `TerminationMessage` to."""


class Rendezvous(WireModel):
    """Where rank 0 listens."""

    address: str
    port: int


class ProgressEndpoint(WireModel):
    """Where progress is posted."""

    url: str
    """Full address that `ProgressMessage` is POSTed to."""
    token_path: str
    """File with the bearer token; re-read before each post, since the kubelet rotates it."""
    ca_path: str | None = None
    """Certificate authority of an `https` address."""


class ResultReference(WireModel):
    """A file on the claim, by path and content."""

    path: str
    sha256: str


class RunConfig(WireModel):
    """Everything a stage needs to know."""

    version: Literal[1] = 1
    stage: Stage
    job: JobIdentity
    attempt: int = 0
    """Training attempt from 1; 0 for the other stages."""
    settings: Settings
    config_hash: str
    """`config_hash(settings)`: names what the training result depends on."""
    paths: Paths
    rendezvous: Rendezvous | None = None
    """Only for `train`."""
    progress: ProgressEndpoint | None = None
    begins_anew: str | None = None
    """Which run this is, where checkpoints of runs before it are to be removed from the job's folder, once. Only for `prepare`."""
    prepare_result: ResultReference | None = None
    """`prepare.json`, for `train` and `export`."""
    train_result: ResultReference | None = None
    """`train.json`, for `export`."""
    micro_batch_size: int | None = None
    """Rows of a micro-batch in place of the planned number, after a GPU ran out of memory. Only for `train`."""
    resume_before: int | None = None
    """Only checkpoints of fewer steps are gone on from, and newer ones are set aside: one of them led to a loss that is not finite. Only for `train`."""
    expected_step: int | None = None
    """Step of the newest checkpoint that is known of; where none is found, training must not begin again at step 0 unseen. Only for `train`."""
