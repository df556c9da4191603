"""FineTuneJob: what to train, on what, how, where; and what became of it.

A default is written in the field's text and filled in by the operator or by `prepare` (`status.resolved`), never by the CRD.
A field stands here only together with the code that honours it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from tuneloop_api.model import WireModel, without_nulls
from tuneloop_api.rules import Rule, applies_only, exactly_one, not_together
from tuneloop_api.v1alpha1.common import (
    Conditions,
    Duration,
    LongText,
    Metadata,
    Name,
    Quantity,
    ResourceAmounts,
    ShortText,
    Storage,
    Uri,
    named,
)

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ModelSource(WireModel):
    """The pre-trained model to start from."""

    uri: Uri
    """Where the model is: `hf://ORG/NAME`, `pvc://CLAIM/PATH`, or `file:///PATH` (local mode only). Weights must be safetensors."""
    revision: ShortText | None = None
    """Branch, tag or commit of a hub model. Default: `main`; the commit it meant is recorded in `status.lineage`."""
    labels: Annotated[list[ClassName], Field(min_length=2, max_length=1000)] | None = None
    """The classes in the order of their ids. Default: the distinct labels of the data, sorted."""


class Columns(WireModel):
    """Which columns of a source hold what."""

    text: ColumnName | None = None
    """Column of the text. Default: `text`."""
    label: ColumnName | None = None
    """Column of the label, or of the number that `labelRule` turns into one. Default: `label`."""


class LabelRule(WireModel):
    """Turns a number into one of two classes."""

    above: float
    """Numbers greater than this get the second name, all others the first."""
    names: Annotated[list[ClassName], Field(min_length=2, max_length=2)]
    """The two classes: at or below, above. For example `[negative, positive]`."""
    drop_within: Annotated[float, Field(ge=0)] | None = None
    """Rows whose number is closer to `above` than this are left out: they are too ambiguous to learn from."""


class Source(WireModel):
    """Rows from one file, one folder of files, or one saved data set."""

    uri: Uri
    """A `.csv`, `.tsv`, `.jsonl` or `.parquet` file, a folder of such files, or a folder written by `datasets.save_to_disk`."""
    split: ShortText | None = None
    """Split to read where the folder holds several. Default: `train`."""
    columns: Columns | None = None
    """Column names, where they differ from `text` and `label`."""
    label_rule: LabelRule | None = None
    """How a number becomes a label. Default: the label column is the label."""
    limit: Count | None = None
    """Read at most this many rows, from the start."""


class RowValidation(WireModel):
    """What to do with rows that cannot be used."""

    max_bad_fraction: Fraction | None = None
    """Largest tolerated fraction of bad rows (no text, no label, wrong type, unknown class). Default: 0, any bad row is refused."""
    samples: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many bad rows the data report shows. Default: 20."""


class Split(WireModel):
    """How rows are divided when `validation` or `test` is not given."""

    validation: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of the rows for choosing checkpoints and thresholds. Default: 0.1."""
    test: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of the rows for the final measurement. Default: 0.1."""
    method: Literal["hash", "random"] | None = None
    """`hash`: by the row's own content, so that a row never changes side when data is added (not stratified). `random`: by the seed. Default: `hash`."""
    stratify: bool | None = None
    """Keep the class proportions in every split. Only for `random`. Default: true there."""
    group_by: ColumnName | None = None
    """Rows with the same value in this column stay on one side, so that related rows do not leak."""
    seed: Seed | None = None
    """Seed of the division. Default: 42."""

    rules = (
        applies_only(
            "stratify",
            to="method: random",
            hint="a hash split keeps every row on its side",
            cel="self.?method.orValue('hash') == 'random'",
            holds=lambda split: split.method == "random",
        ),
        Rule(
            field="stratify",
            message="cannot be combined with groupBy; leave one of the two out",
            cel="!(self.?stratify.orValue(false) && has(self.groupBy))",
            holds=lambda split: not (split.stratify and split.group_by is not None),
        ),
        Rule(
            field="validation",
            message="validation and test must leave rows to train on: less than 1 together (each is 0.1 by default)",
            cel="self.?validation.orValue(0.1) + self.?test.orValue(0.1) < 1.0",
            holds=lambda split: (split.validation or 0.1) + (split.test or 0.1) < 1,
        ),
    )


class Deduplicate(WireModel):
    """Which repeated rows are removed."""

    exact: bool | None = None
    """Keep only the first of rows with the same text (case, Unicode form and white space aside). Default: true."""
    across_splits: bool | None = None
    """Also remove rows of the training split whose text stands in validation or test. Default: true."""


class Data(WireModel):
    """The rows to learn from and to measure on."""

    train: Annotated[list[Source], Field(min_length=1, max_length=64)]
    """Sources of the training split; validation and test are split off where they are not given."""
    validation: Annotated[list[Source], Field(min_length=1, max_length=64)] | None = None
    """Sources of the validation split."""
    test: Annotated[list[Source], Field(min_length=1, max_length=64)] | None = None
    """Sources of the test split."""
    validate_rows: Annotated[RowValidation | None, Field(alias="validate")] = None
    """What to do with rows that cannot be used."""
    split: Split | None = None
    """How rows are divided when `validation` or `test` is not given."""
    deduplicate: Deduplicate | None = None
    """Which repeated rows are removed."""
    max_tokens: Annotated[int, Field(ge=8, le=1048576)] | None = None
    """Longer texts are cut to this many tokens. Default: the 99.5th percentile of the training texts, at most what the model can read."""


class Method(WireModel):
    """Which parameters are trained, and how."""

    type: Literal["full", "lora"] | None = None
    """`full`: every parameter. `lora`: low-rank adapters beside frozen weights. Default: `lora`."""
    rank: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Rank of the LoRA matrices. Only for `lora`. Default: 16."""
    alpha: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Scale of the LoRA update (alpha / rank). Only for `lora`. Default: 2 x rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout in front of the LoRA matrices. Only for `lora`. Default: 0.05."""
    target_modules: Annotated[list[ShortText], Field(min_length=1, max_length=64)] | None = None
    """Names of the linear layers that get adapters. Only for `lora`. Default: `[all-linear]`."""

    rules = tuple(
        applies_only(
            field,
            to="type: lora",
            cel="self.?type.orValue('lora') == 'lora'",
            holds=lambda method: method.type != "full",
        )
        for field in ("rank", "alpha", "dropout", "target_modules")
    )


class EvaluateEvery(WireModel):
    """How often the validation split is measured: exactly one of the two."""

    steps: Count | None = None
    """Every so many optimizer steps."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Every so many passes over the training split; may be a fraction."""

    rules = (exactly_one("steps", "epochs"),)


MetricName = Literal["loss", "accuracy", "macro_f1", "mcc"]


class EarlyStopping(WireModel):
    """Stop when the validation split gets no better."""

    metric: MetricName | None = None
    """Metric to watch. Default: `training.bestMetric`."""
    patience: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Evaluations in a row without an improvement before training stops. Default: 3."""
    min_delta: Annotated[float, Field(ge=0)] | None = None
    """Smallest change that counts as an improvement. Default: 0."""


class Training(WireModel):
    """Length, batches and optimizer."""

    epochs: Annotated[float, Field(gt=0, le=10000)] | None = None
    """Passes over the training split; may be a fraction. Default: 3. Not together with `maxSteps`."""
    max_steps: Count | None = None
    """Optimizer steps. Not together with `epochs`."""
    global_batch_size: Annotated[int, Field(ge=1, le=1048576)] | None = None
    """Rows in one optimizer step over all nodes: the result does not depend on the number of nodes. Default: 32."""
    micro_batch_size: Annotated[int, Field(ge=1, le=1048576)] | None = None
    """Rows in one forward pass of one rank. `globalBatchSize` must be a multiple of it. Default: planned from the data."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Peak learning rate. Default: by method and model (`status.resolved`)."""
    scheduler: Literal["linear", "cosine", "constant", "wsd"] | None = None
    """Course of the learning rate after the warm-up; `wsd` is warm-up, stable, decay. Default: `linear`."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """Fraction of all steps that the warm-up takes. Default: 0.06. Not together with `warmupSteps`."""
    warmup_steps: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Steps that the warm-up takes. Not together with `warmupRatio`."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] | None = None
    """Decoupled weight decay of AdamW; biases and norms have none. Default: 0.01."""
    beta1: Annotated[float, Field(ge=0, lt=1)] | None = None
    """First moment decay of AdamW. Default: 0.9."""
    beta2: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Second moment decay of AdamW. Default: 0.999."""
    epsilon: Annotated[float, Field(gt=0, le=1)] | None = None
    """Denominator term of AdamW. Default: 1e-8."""
    max_grad_norm: Annotated[float, Field(ge=0)] | None = None
    """The gradient's norm is clipped to this; 0 turns clipping off. Default: 1.0."""
    precision: Literal["auto", "fp32", "bf16"] | None = None
    """Number format of the forward and backward pass. `auto`: bf16 on GPUs that have it, else fp32. Default: `auto`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout inside the model. Default: the model's own."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability mass that the loss spreads over all classes. Default: 0."""
    evaluate_every: EvaluateEvery | None = None
    """How often the validation split is measured. Default: every epoch."""
    early_stopping: EarlyStopping | None = None
    """Stop when the validation split gets no better. Default: train to the end."""
    best_metric: MetricName | None = None
    """Validation metric that chooses the best checkpoint. Default: `loss`."""
    seed: Seed | None = None
    """Seed of the head's weights, the order of the rows and dropout. Default: 42."""

    rules = (
        not_together("epochs", "max_steps"),
        not_together("warmup_ratio", "warmup_steps"),
        Rule(
            field="microBatchSize",
            message="globalBatchSize (32 by default) must be a multiple of it",
            cel="!has(self.microBatchSize) || self.?globalBatchSize.orValue(32) % self.microBatchSize == 0",
            holds=lambda training: (training.global_batch_size or 32) % (training.micro_batch_size or 1) == 0,
        ),
    )


class Evaluation(WireModel):
    """How the result is measured."""

    bootstrap_samples: Annotated[int, Field(ge=100, le=100000)] | None = None
    """Resamples behind each 95 % interval. Default: 2000."""
    baselines: bool | None = None
    """Also measure the majority class, TF-IDF + linear, and the model before training on the same rows. Default: true."""


class DeepSpeed(WireModel):
    """How memory is shared between ranks."""

    stage: Annotated[int, Field(ge=0, le=3)] | None = None
    """ZeRO stage: 0 nothing, 1 optimizer states, 2 and gradients, 3 and parameters are divided between ranks. Default: 2 (1 on a single rank)."""


class Resources(WireModel):
    """Nodes, GPUs and memory of the training pods, and of the two CPU stages."""

    nodes: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Training pods, one per node. Default: 1."""
    gpus_per_node: Annotated[int, Field(ge=0, le=64)] | None = None
    """GPUs of each training pod; 0 trains on CPU. Default: 1."""
    processes_per_node: Annotated[int, Field(ge=1, le=256)] | None = None
    """Ranks of each training pod. Default: one per GPU, at least one."""
    gpu_resource: Annotated[str, StringConstraints(min_length=1, max_length=316)] | None = None
    """Name of the GPU resource. Default: `nvidia.com/gpu`."""
    cpu: Quantity | None = None
    """CPU request and limit of each training pod. Unset: no request."""
    memory: Quantity | None = None
    """Memory request and limit of each training pod. Unset: no request."""
    prepare: ResourceAmounts | None = None
    """CPU and memory of the data preparation."""
    export: ResourceAmounts | None = None
    """CPU and memory of the export."""


class Checkpoint(WireModel):
    """When and how training progress is saved."""

    every: Duration | None = None
    """Save after this much time. Default: 5m. Not together with `everySteps`."""
    every_steps: Count | None = None
    """Save every so many steps. Not together with `every`."""
    keep_last: Annotated[int, Field(ge=1, le=100)] | None = None
    """Newest checkpoints to keep. Default: 2."""
    keep_best: Annotated[int, Field(ge=0, le=100)] | None = None
    """Best checkpoints to keep besides. Default: 1."""
    resume: Literal["auto", "never"] | None = None
    """`auto`: go on from the newest whole checkpoint of this job. `never`: start from step 0. Default: `auto`."""
    grace_period: Duration | None = None
    """Time that a training pod gets to save when it is asked to stop. Default: 5m."""

    rules = (not_together("every", "every_steps"),)


class FailurePolicy(WireModel):
    """How often training is restarted."""

    max_restarts: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Restarts after failures without a newer checkpoint in between. Default: 3."""
    max_total_restarts: Annotated[int, Field(ge=0, le=10000)] | None = None
    """Restarts after failures altogether. Default: 50."""
    max_disruptions: Annotated[int, Field(ge=0, le=10000)] | None = None
    """Restarts after evictions, preemptions and lost nodes. Default: 100."""


class Output(WireModel):
    """What is published."""

    checkpoint: Literal["best", "last"] | None = None
    """Which checkpoint is published. Default: `best`."""
    merge_adapter: bool | None = None
    """Merge LoRA weights into the model, so that it loads without PEFT; the adapter is published besides. Default: true."""


class FineTuneJobSpec(WireModel):
    """What to train, on what, how and where."""

    model: ModelSource
    """The pre-trained model to start from."""
    task: Literal["text-classification"]
    """Hugging Face task of the result."""
    data: Data
    """The rows to learn from and to measure on."""
    method: Method | None = None
    """Which parameters are trained, and how."""
    training: Training | None = None
    """Length, batches and optimizer."""
    evaluation: Evaluation | None = None
    """How the result is measured."""
    deepspeed: DeepSpeed | None = None
    """How memory is shared between ranks."""
    resources: Resources | None = None
    """Nodes, GPUs and memory."""
    image: ShortText | None = None
    """Trainer image. Default: the operator's setting."""
    storage: Storage | None = None
    """Where data sets, checkpoints and the artifact live."""
    checkpoint: Checkpoint | None = None
    """When and how training progress is saved."""
    failure_policy: FailurePolicy | None = None
    """How often training is restarted."""
    suspend: bool | None = None
    """Stop training, keep its checkpoints, and go on when this is false again. Default: false."""
    output: Output | None = None
    """What is published."""


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


class FineTuneJob(WireModel):
    """A language model to be fine-tuned: data preparation, training, export."""

    api_version: Literal["tuneloop.dev/v1alpha1"]
    """Always `tuneloop.dev/v1alpha1`."""
    kind: Literal["FineTuneJob"]
    """Always `FineTuneJob`."""
    metadata: Metadata
    """Standard object metadata. The name is a DNS label of at most 48 characters."""
    spec: FineTuneJobSpec
    """What to train, on what, how and where."""
    status: FineTuneJobStatus | None = None
    """What became of the job."""

    rules = (named(most=48),)
    mutable_once_started: ClassVar[frozenset[str]] = frozenset(
        {
            "suspend",
            "failurePolicy.maxRestarts",
            "failurePolicy.maxTotalRestarts",
            "failurePolicy.maxDisruptions",
        }
    )
    """Fields of `spec` that may change after `status.startTime` is set; all others are frozen from then on."""
