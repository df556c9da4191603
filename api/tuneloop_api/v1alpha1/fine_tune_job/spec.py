"""FineTuneJob: what to train, on what, how, where; and what became of it.

A default is written in the field's text and filled in by the operator or by `prepare` (`status.resolved`), never by the CRD.
A field stands here only together with the code that honours it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tuneloop_api.combinations.rules import combination_rules
from tuneloop_api.combinations.table import ADAPTERS, PROMPTS
from tuneloop_api.v1alpha1.common import Image, Metadata, Storage, name_rule
from tuneloop_api.v1alpha1.fine_tune_job.budget import Budget
from tuneloop_api.v1alpha1.fine_tune_job.checkpoint import Checkpoint
from tuneloop_api.v1alpha1.fine_tune_job.cleanup import Cleanup
from tuneloop_api.v1alpha1.fine_tune_job.data import Data, Source
from tuneloop_api.v1alpha1.fine_tune_job.deepspeed import DeepSpeed
from tuneloop_api.v1alpha1.fine_tune_job.evaluation import Evaluation
from tuneloop_api.v1alpha1.fine_tune_job.failure_policy import FailurePolicy
from tuneloop_api.v1alpha1.fine_tune_job.fill_mask import fill_mask_rules
from tuneloop_api.v1alpha1.fine_tune_job.model_source import ModelSource
from tuneloop_api.v1alpha1.fine_tune_job.network import Network
from tuneloop_api.v1alpha1.fine_tune_job.output import Output
from tuneloop_api.v1alpha1.fine_tune_job.preflight import Preflight
from tuneloop_api.v1alpha1.fine_tune_job.problem_types import problem_type_rules
from tuneloop_api.v1alpha1.fine_tune_job.question_answering import question_answering_rules
from tuneloop_api.v1alpha1.fine_tune_job.resources import Resources
from tuneloop_api.v1alpha1.fine_tune_job.scheduling import Scheduling
from tuneloop_api.v1alpha1.fine_tune_job.search import Search, search_rules
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_api.v1alpha1.fine_tune_job.task_options import TaskOptions, task_id, task_rules
from tuneloop_api.v1alpha1.fine_tune_job.text2text_generation import text2text_generation_rules
from tuneloop_api.v1alpha1.fine_tune_job.text_generation import text_generation_rules
from tuneloop_api.v1alpha1.fine_tune_job.training import Method, Training
from tuneloop_api.v1alpha1.fine_tune_job.training_options import training_option_rules
from tuneloop_api.v1alpha1.pods import PodOptions
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule
from tuneloop_api.wire.uris import feedback_deployment, object_path


def _merges(output: Output | None) -> bool:
    return output is not None and output.merge_adapter is not None


def _trains_prompts(method: Method | None) -> bool:
    return method is not None and method.type in PROMPTS


def _has_adapter(method: Method | None) -> bool:
    return ((method and method.type) or "lora") in ADAPTERS


def _compares(spec: FineTuneJobSpec) -> bool:
    return spec.evaluation is not None and spec.evaluation.compare_with is not None


def _keeps_its_test_rows(data: Data) -> bool:
    return data.test is not None or data.split is None or data.split.method != "random"


def _least_nodes(scheduling: Scheduling | None) -> int:
    return (scheduling and scheduling.min_nodes) or 1


class FineTuneJobSpec(PodOptions):
    """What to train, on what, how and where."""

    model: ModelSource
    """The pre-trained model to start from, and the classes that it is to tell apart. For example `{uri: hf://FacebookAI/roberta-base}`."""
    task: Literal[
        "text-classification",
        "token-classification",
        "question-answering",
        "text-generation",
        "text2text-generation",
        "fill-mask",
    ]
    """Task of the result, as Hugging Face calls it. `text-classification` gives each text one of the classes, `token-classification` each word of it, as in named-entity
    recognition; `question-answering` finds the answer to a question as a span of characters of a context. `text-generation` continues texts and answers in conversations,
    `text2text-generation` writes a text for a text, such as a translation or a summary. `fill-mask` predicts masked tokens: the model goes on learning from texts without
    labels, for a job of another task to begin with."""
    task_options: TaskOptions | None = None
    """Settings that some tasks have besides. For example `{tagScheme: iob2}`."""
    data: Data
    """The rows to learn from and to measure on, and how they are checked, divided and cleaned. For example `{train: [{uri: pvc://models/reviews.csv}]}`."""
    method: Method | None = None
    """Which parameters are trained, and how: all of them, or low-rank adapters (LoRA). Default: LoRA of rank 16. For example `{type: full}`."""
    training: Training | None = None
    """Length of the training, its batches, learning rate, optimizer and evaluations. For example `{epochs: 2, learningRate: 2e-4}`."""
    evaluation: Evaluation | None = None
    """How the exported model is measured on the test split. For example `{bootstrapSamples: 10000}`."""
    search: Search | None = None
    """Trials with other values of some fields, of which the best is published. For example `{space: [{path: method.rank, type: int, low: 4, high: 32}]}`."""
    deepspeed: DeepSpeed | None = None
    """How DeepSpeed shares memory between the ranks. For example `{stage: 3}`."""
    resources: Resources | None = None
    """Nodes, GPUs, cores and memory of the training, and of the two stages on CPU around it. Default: one node with one GPU. For example `{nodes: 2, gpusPerNode: 8}`."""
    image: Image | None = None
    """Image of the trainer, best with its digest. Default: the operator's setting. For example `registry.example.com/trainer:1.2.0`."""
    storage: Storage | None = None
    """Where data sets, checkpoints and the artifact are kept. Default: the operator's claim; without one, the job is refused. For example `{claim: models}`."""
    checkpoint: Checkpoint | None = None
    """When training progress is saved, how much of it is kept, and whether a restart uses it. For example `{every: 10m, keepLast: 3}`."""
    failure_policy: FailurePolicy | None = None
    """How often training is restarted before the job fails. For example `{maxRestarts: 10}`."""
    scheduling: Scheduling | None = None
    """Where the training pods run, and what happens if there is not enough room. For example `{queueName: team-a}`."""
    network: Network | None = None
    """How the training pods reach each other. For example `{interface: net1}`."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Seconds that all training pods may run, all attempts together, before the job fails; waiting for room, for a queue or for a restart does not count. May be changed
    while the job runs. Default: none. For example `86400`."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds after which a job that has succeeded or failed is deleted; its artifact and its checkpoints stay on the claim. May be changed while the job runs.
    Default: none, it stays. For example `604800`."""
    cleanup: Cleanup | None = None
    """What is left of a job that has succeeded. For example `{checkpoints: KeepAll}`."""
    preflight: Preflight | None = None
    """What is checked before any GPU is held. For example `{dryRun: true}`."""
    budget: Budget | None = None
    """What the job may cost. For example `{maxGpuHours: 64}`."""
    suspend: bool | None = None
    """Whether the job rests: true stops training and keeps its checkpoints, false lets it go on from them. May be changed while the job runs. Default: false."""
    output: Output | None = None
    """Which checkpoint is published, and in which form. For example `{checkpoint: last}`."""

    @property
    def task_id(self) -> str:
        """Name of what the model does, as artifacts carry it."""
        return task_id(self.task, self.task_options.problem_type if self.task_options else None)

    rules = (
        Rule(
            field="output.mergeAdapter",
            reason="FieldValueForbidden",
            message=f"applies only to method.type: {' or '.join(ADAPTERS)} (other methods have no adapter); leave it out",
            cel=f"!has(self.output) || !has(self.output.mergeAdapter) || !has(self.method) || self.method.?type.orValue('lora') in {list(ADAPTERS)}",
            holds=lambda spec: not _merges(spec.output) or _has_adapter(spec.method),
        ),
        Rule(
            field="method.type",
            message=f"{', '.join(PROMPTS[:-1])} and {PROMPTS[-1]} have no weights to merge; set output.mergeAdapter: false beside them",
            cel=f"!(has(self.method) && self.method.?type.orValue('lora') in {list(PROMPTS)}) || (has(self.output) && !self.output.?mergeAdapter.orValue(true))",
            holds=lambda spec: (
                not _trains_prompts(spec.method) or (spec.output is not None and spec.output.merge_adapter is False)
            ),
        ),
        *combination_rules(),
        *training_option_rules(),
        *search_rules(),
        Rule(
            field="evaluation.compareWith",
            reason="FieldValueForbidden",
            message="needs a whole model to compare: leave out output.mergeAdapter, or set it to true",
            cel="!has(self.evaluation) || !has(self.evaluation.compareWith) || !has(self.output) || self.output.?mergeAdapter.orValue(true)",
            holds=lambda spec: not _compares(spec) or spec.output is None or spec.output.merge_adapter is not False,
        ),
        Rule(
            field="evaluation.compareWith",
            reason="FieldValueForbidden",
            message="cannot be combined with data.split.method: random: a new split brings rows that the champion has learned from into test; use hash, or give data.test",
            cel="!has(self.evaluation) || !has(self.evaluation.compareWith) || has(self.data.test) || !has(self.data.split) || self.data.split.?method.orValue('hash') == 'hash'",
            holds=lambda spec: not _compares(spec) or _keeps_its_test_rows(spec.data),
        ),
        *task_rules(),
        *problem_type_rules(),
        *question_answering_rules(),
        *text_generation_rules(),
        *fill_mask_rules(),
        *text2text_generation_rules(),
        Rule(
            field="scheduling.minNodes",
            message="must be at most resources.nodes (1 by default); for example minNodes: 1 with nodes: 2",
            cel="!has(self.scheduling) || !has(self.scheduling.minNodes) || self.scheduling.minNodes <= (has(self.resources) ? self.resources.?nodes.orValue(1) : 1)",
            holds=lambda spec: _least_nodes(spec.scheduling) <= ((spec.resources and spec.resources.nodes) or 1),
        ),
    )

    @property
    def sources(self) -> list[tuple[str, Source]]:
        """All sources of rows, each with its field, such as `spec.data.train[0]`: those to learn from and to measure on, and the recent rows of the comparison."""
        beside = self.evaluation.compare_with if self.evaluation else None
        lists = {f"spec.data.{name}": getattr(self.data, name) for name in ("train", "validation", "test")}
        lists["spec.evaluation.compareWith.recent"] = beside.recent if beside else None
        return [
            (f"{field}[{number}]", source)
            for field, found in lists.items()
            for number, source in enumerate(found or ())
        ]

    @property
    def addresses_with_secrets(self) -> list[tuple[str, str, str]]:
        """Field of the block, address and name of the Secret of the model and of each source that names one."""
        blocks: list[tuple[str, ModelSource | Source]] = [("spec.model", self.model), *self.sources]
        return [(field, block.uri, block.secret_ref.name) for field, block in blocks if block.secret_ref is not None]

    @property
    def bucket_secrets(self) -> dict[str, str]:
        """Name of the Secret for each kind of object storage, by scheme (`OBJECT_SCHEMES`); of several Secrets the first, which acceptance refuses."""
        found: dict[str, str] = {}
        for _, uri, secret in self.addresses_with_secrets:
            if (place := object_path(uri)) is not None:
                found.setdefault(place.scheme, secret)
        return found

    @property
    def feedback_deployments(self) -> list[str]:
        """The ModelDeployments whose feedback is read, by name."""
        found = (feedback_deployment(source.uri) for _, source in self.sources)
        return sorted({name for name in found if name is not None})


class FineTuneJob(SpecModel):
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

    rules = (name_rule(most=48),)
    mutable_once_started: ClassVar[frozenset[str]] = frozenset(
        {
            "suspend",
            "activeDeadlineSeconds",
            "ttlSecondsAfterFinished",
            "scheduling.priorityClassName",
            "failurePolicy.maxRestarts",
            "failurePolicy.maxTotalRestarts",
            "failurePolicy.maxDisruptions",
        }
    )
    """Fields of `spec` that may change after `status.startTime` is set; all others are frozen from then on."""
