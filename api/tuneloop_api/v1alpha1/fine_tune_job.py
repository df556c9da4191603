"""FineTuneJob: what to train, on what, how, where; and what became of it.

A default is written in the field's text and filled in by the operator or by `prepare` (`status.resolved`), never by the CRD.
A field stands here only together with the code that honours it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tuneloop_api.model import WireModel
from tuneloop_api.rules import Rule, applies_only, exactly_one, not_together
from tuneloop_api.v1alpha1.common import (
    Duration,
    Metadata,
    Quantity,
    ResourceAmounts,
    ShortText,
    Storage,
    longer_than_nothing,
    named,
)
from tuneloop_api.v1alpha1.fine_tune_job_data import Count, Data, ModelSource, Seed
from tuneloop_api.v1alpha1.fine_tune_job_status import FineTuneJobStatus


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

    rules = (not_together("every", "every_steps"), longer_than_nothing("every"))


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
