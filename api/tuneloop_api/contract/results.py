"""What a stage hands on: `prepare.json`, `train.json`, `export.json` on the claim, and the termination message.

The termination message is the durable channel to the operator, which cannot read the volume. `termination.py` makes it fit.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from tuneloop_api.contract.champion import ComparisonSummary
from tuneloop_api.contract.run_config import ResultReference, Stage
from tuneloop_api.contract.search import SearchReport, SearchSummary
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.model import KEPT, MessageModel, Open

MOST_LAST_LINES = 20
LONGEST_LAST_LINE = 200
"""Characters."""
Precision: TypeAlias = Literal["fp32", "bf16"]
Exactness: TypeAlias = Annotated[Literal["exact", "rounding"], Open("rounding")]
"""Whether the steps after a resume equal those of an uninterrupted run to the last bit, or within rounding."""


class Resolved(MessageModel):
    """Every value that was left to be chosen, chosen once by `prepare`."""

    labels: list[str]
    """Class names in the order of their ids."""
    max_tokens: int
    """Longer texts are cut to this many tokens, special tokens included."""
    global_batch_size: int
    micro_batch_size: int
    """Rows of one global micro-batch; never depends on the number of ranks."""
    steps_per_epoch: int
    """Optimizer steps in one pass: ceil(training rows / global batch)."""
    total_steps: int
    """Optimizer steps of the whole run."""
    warmup_steps: int
    learning_rate: float
    precision: Annotated[Precision, Open(KEPT)]
    """As planned; a gang whose GPUs have no bf16 trains in fp32 (`TrainResult.precision`) unless the spec says otherwise."""
    zero_stage: Annotated[int, Field(alias="stage")]
    attention: str | None = None
    """How the model computes attention: `sdpa` (fused), or `eager` where its class has no other. None: the model could not be traced."""
    packed: bool | None = None
    """Whether rows of a micro-batch share lines, a trial having shown that they do not see each other. None: of a release before packing."""


class MemoryPlan(MessageModel):
    """Memory of one rank at its peak, in bytes, as planned; on a GPU that of the GPU, on CPU that of the process."""

    weights: int
    """Parameters as the model computes with them."""
    gradients: int
    optimizer: int
    """Adam's two moments, and the fp32 master weights where the model computes in bf16."""
    activations: int
    """What one micro-batch of the longest rows keeps for the backward pass."""
    framework: int
    """Interpreter, libraries, buffers of communication and checkpoints."""
    total: int


FindingName: TypeAlias = Literal[
    "OverFitting",
    "UnderFitting",
    "LearningRateTooHigh",
    "LearningRateTooLow",
    "InputBound",
    "DeadGradients",
    "Straggler",
]


class Finding(MessageModel):
    """Something that is wrong with how the training goes, found from its own curves."""

    name: Annotated[FindingName, Open(KEPT)]
    message: str
    """What the curves show, with numbers."""
    advice: str
    """What to change."""


class DataCounts(MessageModel):
    """What became of the rows."""

    rows: int
    """Usable rows in all splits."""
    splits: dict[str, int]
    """Rows by split: train, validation, test."""
    bad: int
    """Rows that could not be used."""
    duplicates: int
    """Repeated rows that were removed."""
    truncated: int
    """Rows that were cut to `max_tokens`."""


class PrepareSummary(MessageModel):
    """What the status shows of `prepare`."""

    counts: DataCounts
    resolved: Resolved
    dataset_digest: str
    """Names the folder under `Paths.datasets`; a hash of all that the prepared data depends on."""
    model_revision: str
    """Commit of a hub model, or digest of the weights."""
    report_path: str
    """Data report (JSON)."""
    cache_hit: bool
    """The prepared data was there already."""
    memory: MemoryPlan | None = None
    """Of one training rank."""
    notes: list[str] | None = None
    """What a person should know of the data, one sentence each: rows that were left out, labels that look alike. None, never an empty list:
    the operator of release 0.1.0 refuses a message with a field that it does not know."""
    rehearsal: str | None = None
    """What the dress rehearsal did, or why there was none, in a few words; None: it was switched off."""


class PrepareResult(PrepareSummary):
    """`prepare.json`: the summary, and what only the next stages need."""

    version: Literal[1] = 1
    dataset_path: str
    """Folder of the prepared data."""
    model_path: str
    """Folder of the pre-trained model in Hugging Face layout."""
    model_type: str
    """`model_type` of its config, for example `bert`."""
    architecture: str | None = None
    """`encoder`, `decoder` or `encoder-decoder`, from which trials of a search plan; None where there is no search."""


class SavedStep(MessageModel):
    """A committed checkpoint."""

    step: int
    path: str
    time: str | None = None
    metric: str | None = None
    value: float | None = None


class AttemptOutcome(MessageModel):
    """How far an attempt of `train` came: what its result and its summary have in common."""

    start_step: int
    """Step that this attempt started from."""
    steps: int
    """Optimizer steps done in all."""
    world_size: int
    """Ranks of the gang."""
    best: SavedStep | None = None
    step_seconds: float = 0.0
    """Time spent in the optimizer steps of this attempt."""
    save_seconds_p95: float | None = None
    """95th percentile of the time from the begin of a save to its commit."""


class TrainSummary(AttemptOutcome):
    """What the status shows of `train`; also of an attempt that failed, which may have saved nothing."""

    stopped_early: bool = False
    loss: float | None = None
    last: SavedStep | None = None
    resume: Exactness = "exact"
    precision: Annotated[Precision | None, Open(KEPT)] = None
    findings: list[Finding] | None = None
    search: SearchSummary | None = None
    resolved: Resolved | None = None
    """The plan of the best trial; None where there is no search."""


class TrainResult(AttemptOutcome):
    """`train.json`."""

    version: Literal[1] = 1
    attempt: int
    stopped_early: bool
    last: SavedStep
    weights_path: str
    """Folder with the trained weights to publish: safetensors of the trainable parameters, by name."""
    predictions: dict[str, str]
    """Safetensors files with `logits` float32 [M, C], `labels` int64 [M], `rows` int64 [N], `offsets` int64 [N + 1] of M targets in N rows: `validation`, `test`, `before-test`."""
    log_path: str
    """JSONL with one line per step: step, loss, grad_norm, learning_rate, tokens, seconds; and evaluation lines."""
    resume: Exactness
    precision: Annotated[Precision, Open(KEPT)]
    """In which the forward and backward passes were made."""
    micro_batch_size: int | None = None
    """Rows of a micro-batch of this attempt."""
    tokens_per_second: float
    padding_fraction: float
    """Padding tokens / all tokens that were computed, over the training run."""
    peak_memory_bytes: int | None = None
    """Largest memory of one rank: of its GPU, or of its process."""
    findings: list[Finding] = Field(default=[])
    """What the curves of the training tell."""
    search: SearchReport | None = None
    """The trials; None where there is no search. All other fields are then those of the best trial, but for `steps`, which counts the steps of all trials."""
    resolved: Resolved | None = None
    """The plan of the best trial; None where there is no search."""


class Measured(MessageModel):
    """A number with its 95 % interval."""

    name: str
    split: str = "test"
    value: float
    low: float | None = None
    high: float | None = None


class ExportSummary(MessageModel):
    """What the status shows of `export`."""

    artifact_uri: str
    digest: str
    """`sha256:…` of the canonical manifest."""
    size_bytes: int
    formats: list[str]
    metrics: list[Measured]
    baselines: list[Measured]
    """The task's primary metric of each baseline on the test rows."""
    paired: Measured | None = None
    """Primary metric of the model minus that of the baseline that it is to beat, on the same rows, with a paired interval."""
    comparison: ComparisonSummary | None = None
    """The model beside the one that `evaluation.compareWith` names; None: it names none."""


class ExportResult(ExportSummary):
    """`export.json`: the summary, and what only a pod needs."""

    version: Literal[1] = 1
    artifact_path: str


def _newest(lines: list[str]) -> list[str]:
    return lines[-MOST_LAST_LINES:]


class TerminationMessage(MessageModel):
    """What a stage says as it ends."""

    version: Literal[1] = 1
    stage: Stage
    outcome: Annotated[Literal["Succeeded", "Failed", "Preempted"], Open("Failed")]
    failure_class: Annotated[FailureClass | None, Field(strict=False), Open(FailureClass.UNKNOWN)] = None
    message: str | None = None
    """What happened, in one sentence that a user can read."""
    hint: str | None = None
    """What to do about it."""
    rank: int | None = None
    """Rank that failed first."""
    step: int | None = None
    """Last step that was made."""
    last_lines: Annotated[list[str], AfterValidator(_newest)] | None = None
    """The last lines of the failing process, oldest first, without secrets; the newest 20 of them."""
    result: ResultReference | None = None
    prepare: PrepareSummary | None = None
    train: TrainSummary | None = None
    export: ExportSummary | None = None
