"""The settings of a job as its pods know them: a block for each block of the spec, with the defaults that need no data.

`run.json` holds what the spec sets, and the program that reads it fills in the defaults of its own release (`defaults.with_defaults`). What stays
None is chosen by `prepare` (`PrepareResult.resolved`). Where a default or the meaning of a field changes, count up the version of its block in
`defaults.IDENTITY_VERSIONS`: a checkpoint from before is then not taken for one of the same run. A new field with a default needs nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuneloop_api.contract.data_settings import DataSettings, SourceSettings
from tuneloop_api.contract.search import SearchSettings
from tuneloop_api.contract.settings_block import SettingsBlock
from tuneloop_api.v1alpha1.fine_tune_job.task_options import task_id
from tuneloop_api.v1alpha1.fine_tune_job.training import MetricName


class ModelSettings(SettingsBlock):
    """The pre-trained model to start from."""

    uri: str
    revision: str | None = None
    labels: list[str] | None = None
    chat_template: str | None = None
    """Jinja template of conversations; None: that of the tokenizer."""


class TaskOptionSettings(SettingsBlock):
    """Settings of some tasks."""

    problem_type: Literal["single-label", "multi-label", "regression"] = "single-label"
    tag_scheme: Literal["auto", "iob1", "iob2", "bioes"] = "auto"
    label_all_tokens: bool = False
    """Training rows have a target at all tokens of a word, not at the first alone."""
    loss_on: Literal["auto", "assistant", "completion", "all"] = "auto"
    mask_probability: float = 0.15
    """Part of the tokens of a text that is predicted."""
    whole_word: bool = False
    """Words are masked whole."""
    source_prefix: str = ""
    """What the model reads in front of each source."""
    max_target_tokens: int = 128
    """Most tokens that a target has, and that the model writes."""
    num_beams: int = 1
    """Beams of the search by which the model writes; 1: greedy."""
    doc_stride: int = 128
    """Tokens of the context that two neighbouring windows share, at most."""
    max_answer_tokens: int = 30
    no_answer: Literal["auto", "allowed", "forbidden"] = "auto"


class MethodSettings(SettingsBlock):
    """Which parameters are trained."""

    type: str = "lora"
    """A name that the trainer knows (`tuneloop_trainer.methods.METHODS`)."""
    rank: int = 16
    alpha: int | None = None
    """None: 2 x rank."""
    dropout: float = 0.05
    target_modules: list[str] = Field(default=["all-linear"])
    use_dora: bool = False
    use_rslora: bool = False
    use_pissa: bool = False
    virtual_tokens: int = 20
    freeze: list[str] | None = None
    """Regular expressions for names of parameters that stay as they are."""


class EvaluateEverySettings(SettingsBlock):
    """How often the validation split is measured; exactly one of the two is set."""

    steps: int | None = None
    epochs: float | None = None


class EarlyStoppingSettings(SettingsBlock):
    """Stop when the validation split gets no better."""

    metric: MetricName | None = None
    """None: the best metric."""
    patience: int = 3
    min_delta: float = 0.0


class TrainingSettings(SettingsBlock):
    """Length, batches and optimizer."""

    epochs: float | None = None
    max_steps: int | None = None
    """Exactly one of `epochs` and `max_steps` is set, once the defaults are filled in (epochs: 3)."""
    global_batch_size: int = 32
    micro_batch_size: int | None = None
    learning_rate: float | None = None
    scheduler: Literal["linear", "cosine", "constant", "wsd"] = "linear"
    warmup_ratio: float | None = None
    warmup_steps: int | None = None
    """Exactly one of `warmup_ratio` and `warmup_steps` is set, once the defaults are filled in (ratio: 0.06 where the spec gives neither)."""
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    dropout: float | None = None
    label_smoothing: float = 0.0
    neftune_alpha: float = 0.0
    layerwise_lr_decay: float = 1.0
    gradient_checkpointing: Literal["always", "never"] = "never"
    evaluate_every: EvaluateEverySettings = EvaluateEverySettings(epochs=1.0)
    early_stopping: EarlyStoppingSettings | None = None
    best_metric: MetricName = "loss"
    seed: int = 42


class CompareWithSettings(SettingsBlock):
    """The model that the result is compared with, and what is asked of the result."""

    uri: str
    digest: str | None = None
    margin: float = 0.03
    min_improvement: float = 0.0
    slice_margin: float | None = None
    """None: twice the margin."""
    recent: list[SourceSettings] | None = None


class EvaluationSettings(SettingsBlock):
    """How the result is measured."""

    bootstrap_samples: int = 2000
    baselines: bool = True
    compare_with: CompareWithSettings | None = None


class DeepSpeedSettings(SettingsBlock):
    """How memory is shared between ranks."""

    stage: int | None = None
    """None: 2, or 1 on a single rank."""
    offload_optimizer: Literal["none", "cpu"] = "none"


class GangSettings(SettingsBlock):
    """The shape of the training gang; world size = nodes x processes_per_node."""

    nodes: int = 1
    gpus_per_node: int = 1
    processes_per_node: int = 1
    memory_bytes: int | None = None
    """Memory that a training pod may use; None: no limit."""
    hang_seconds: int | None = None
    """How long the ranks may be silent; None: found from the time of a step."""


class CheckpointSettings(SettingsBlock):
    """When and how training progress is saved."""

    every_seconds: int | None = None
    every_steps: int | None = None
    """At most one of the two is set; neither: the trainer plans the time from what a save costs."""
    asynchronous: bool = True
    keep_last: int = 2
    keep_best: int = 1
    resume: Literal["auto", "never"] = "auto"
    resume_from: str | None = None
    """Checkpoint of another job that `prepare` brings into this job's folder."""
    grace_seconds: int = 300
    cleanup: Literal["KeepBest", "KeepAll", "Delete"] = "KeepBest"
    """What `export` leaves of the checkpoints once the artifact is published."""


class OutputSettings(SettingsBlock):
    """What is published."""

    checkpoint: Literal["best", "last"] = "best"
    merge_adapter: bool = True
    formats: list[str] = Field(default=["safetensors"])
    """`onnx` and `onnx-int8` ask for `onnx/` beside `model/`; int8 needs the fp32 file, so that it asks for both."""

    @property
    def asks_for_onnx(self) -> bool:
        """Whether the model is to be published as ONNX, too."""
        return "onnx" in self.formats or self.asks_for_int8

    @property
    def asks_for_int8(self) -> bool:
        """Whether the ONNX model is to be published with weights of 8 bits, too."""
        return "onnx-int8" in self.formats


class PreflightSettings(SettingsBlock):
    """What `prepare` checks."""

    rehearsal: bool = True
    """Train, export and load a small model once."""


class Settings(SettingsBlock):
    """The blocks of the spec that a stage needs."""

    model: ModelSettings
    task: str
    """Hugging Face task id, as in `spec.task`."""
    task_options: TaskOptionSettings = TaskOptionSettings()
    data: DataSettings
    method: MethodSettings = MethodSettings()
    training: TrainingSettings = TrainingSettings()
    search: SearchSettings | None = None
    evaluation: EvaluationSettings = EvaluationSettings()
    deepspeed: DeepSpeedSettings = DeepSpeedSettings()
    gang: GangSettings = GangSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    output: OutputSettings = OutputSettings()
    preflight: PreflightSettings = PreflightSettings()

    @property
    def task_id(self) -> str:
        """Name of what the model does, as artifacts carry it."""
        return task_id(self.task, self.task_options.problem_type)
