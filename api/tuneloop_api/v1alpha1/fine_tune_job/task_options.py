"""What the task of a FineTuneJob has besides its name: its options, and the rules that hold other fields of the spec to the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field
from pydantic.alias_generators import to_camel

from tuneloop_api.v1alpha1.fine_tune_job.training import TASK_OF_METRIC, WITHOUT_ACCURACY
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule
from tuneloop_api.wire.text_formats import LINE

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.fine_tune_job.data import Data
    from tuneloop_api.v1alpha1.fine_tune_job.evaluation import Evaluation
    from tuneloop_api.v1alpha1.fine_tune_job.model_source import ModelSource
    from tuneloop_api.v1alpha1.fine_tune_job.output import Output
    from tuneloop_api.v1alpha1.fine_tune_job.training import Training


def task_id(task: str, problem_type: str | None) -> str:
    """Return the name of what a model does: the Hugging Face task id, and the problem type where it is not the usual one. For example `text-classification/multi-label`.

    Artifacts carry it, so that a program that does not know the problem type refuses the model, and never answers by another one.
    """
    return task if problem_type in {None, "single-label"} else f"{task}/{problem_type}"


class TaskOptions(SpecModel):
    """Settings of some tasks; each field names the task that it applies to."""

    problem_type: Literal["single-label", "multi-label", "regression"] | None = None
    """What a text has: `single-label` exactly one of the classes, `multi-label` any number of them, also none, `regression` a number. Rows of several labels have a list in the
    label column. Applies only to `task: text-classification`. Default: `single-label`."""
    tag_scheme: Literal["auto", "iob1", "iob2", "bioes"] | None = None
    """How the tags of the rows mark spans of words: `iob1` begins a span with B only behind a span of its type, `iob2` always, `bioes` marks ends and single words too, and
    `auto` finds out from the tags. IOB1 is brought to IOB2. Applies only to `task: token-classification`. Default: `auto`."""
    label_all_tokens: bool | None = None
    """Whether all tokens of a word learn its tag, and not the first token alone; measurements count words in any case. Applies only to `task: token-classification`.
    Default: false."""
    loss_on: Literal["auto", "assistant", "completion", "all"] | None = None
    """Tokens that are learned and measured: `assistant` what the assistant says in conversations, `completion` what follows a prompt, `all` every token. Applies only to
    `task: text-generation`. Default: `auto`, the answers where the rows have them, and else `all`."""
    mask_probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Part of the tokens of a text that the model is to predict, between 0 and 1; at least one token of each text. Applies only to `task: fill-mask`. Default: 0.15.
    For example `0.3`."""
    whole_word: bool | None = None
    """Whether all tokens of a word are masked together, as the tokenizer divides a text into words. Applies only to `task: fill-mask`. Default: false."""
    source_prefix: Annotated[str, LINE.text(most=256)] | None = None
    """Text that the model reads in front of each source, up to 256 characters, spaces included; models of the T5 family name their task by it. Applies only to
    `task: text2text-generation`. Default: no text. For example `"summarize: "`."""
    max_target_tokens: Annotated[int, Field(ge=2, le=65536)] | None = None
    """Most tokens of a target, and of what the model writes, 2 to 65536. Rows with a longer target cannot be used: they count for `data.validate.maxBadFraction`. Applies
    only to `task: text2text-generation`. Default: 128. For example `64`."""
    num_beams: Annotated[int, Field(ge=1, le=16)] | None = None
    """Number of beams of the search by which the model writes, 1 to 16: 1 takes the likeliest token each time, more take as many times the work. Applies only to
    `task: text2text-generation`. Default: 1. For example `4`."""
    doc_stride: Annotated[int, Field(ge=0, le=4096)] | None = None
    """Number of tokens that two neighbouring windows of a long context share, 0 to 4096; where a question leaves little room, at most half of the room. Applies only to
    `task: question-answering`. Default: 128. For example `64`."""
    max_answer_tokens: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of tokens of the longest answer that the model gives, 1 to 1024. Applies only to `task: question-answering`. Default: 30. For example `15`."""
    no_answer: Literal["auto", "allowed", "forbidden"] | None = None
    """Whether a context may hold no answer: `forbidden` makes rows without an answer bad rows, `allowed` needs some in the validation split, which choose the threshold, and
    `auto` takes the rows as they are. Applies only to `task: question-answering`. Default: `auto`."""


class SpecWithTask(Protocol):
    """What the rules read of a FineTuneJobSpec, which lies above this file."""

    @property
    def task(self) -> str:
        """Hugging Face task id."""

    @property
    def task_options(self) -> TaskOptions | None:
        """Settings of the task."""

    @property
    def data(self) -> Data:
        """Where the rows are."""

    @property
    def training(self) -> Training | None:
        """How long and how the model learns."""

    @property
    def model(self) -> ModelSource:
        """What is trained."""

    @property
    def output(self) -> Output | None:
        """What is published."""

    @property
    def evaluation(self) -> Evaluation | None:
        """What the result is compared with."""


def _task_option(field: str, *, task: str) -> Rule:
    """Return the rule that a field of `taskOptions` (Python name) is given only for its task."""
    path = f"taskOptions.{to_camel(field)}"

    def holds(spec: SpecWithTask) -> bool:
        return spec.task == task or spec.task_options is None or getattr(spec.task_options, field) is None

    return Rule(
        field=path,
        reason="FieldValueForbidden",
        message=f"applies only to task: {task}; leave it out",
        cel=f"!has(self.taskOptions) || !has(self.{path}) || self.task == '{task}'",
        holds=holds,
    )


def named_metric(spec: SpecWithTask, *, stopping: bool) -> str | None:
    """Return the metric that the spec names, for early stopping or as the best metric; None where it names none."""
    training = spec.training
    if training is None:
        return None
    watched = training.early_stopping.metric if training.early_stopping else None
    return watched if stopping else training.best_metric


def tasks_of(metric: str) -> tuple[str, ...]:
    """Return the tasks that a metric of `TASK_OF_METRIC` belongs to."""
    found = TASK_OF_METRIC[metric]
    return (found,) if isinstance(found, str) else found


def _metrics_fit(spec: SpecWithTask, *, stopping: bool) -> bool:
    metric = named_metric(spec, stopping=stopping)
    if metric == "accuracy":
        return spec.task not in WITHOUT_ACCURACY
    return metric is None or metric not in TASK_OF_METRIC or spec.task in tasks_of(metric)


def has_label_rules(data: Data) -> bool:
    """Whether a source makes classes of numbers."""
    sources = [*data.train, *(data.validation or []), *(data.test or [])]
    return any(source.label_rule is not None for source in sources)


def _metric_rule(field: str, *, has: str, stopping: bool) -> Rule:
    """A metric may be named only for the task that it belongs to."""
    owners = sorted(set(map(tasks_of, TASK_OF_METRIC)))
    per_task = [
        f"(self.{field} in {[name for name in TASK_OF_METRIC if tasks_of(name) == tasks]} && !(self.task in {list(tasks)}))"
        for tasks in owners
    ]
    per_task.append(f"(self.{field} == 'accuracy' && self.task in {list(WITHOUT_ACCURACY)})")
    return Rule(
        field=field,
        reason="FieldValueForbidden",
        message="must be a metric of the task: loss; accuracy for all but question-answering; macro_f1 or mcc for text-classification, micro_f1 or weighted_f1 too for its several labels, rmse, mae, r2, pearson or spearman for its numbers; span_f1, span_precision or span_recall for token-classification; perplexity or bits_per_byte for text-generation and text2text-generation; exact_match or f1 for question-answering",
        cel=f"!({has}) || !({' || '.join(per_task)})",
        holds=lambda spec: _metrics_fit(spec, stopping=stopping),
    )


def task_rules() -> tuple[Rule, ...]:
    """Return the rules of the spec that depend on the task."""
    return (
        _task_option("problem_type", task="text-classification"),
        _task_option("tag_scheme", task="token-classification"),
        _task_option("label_all_tokens", task="token-classification"),
        _task_option("loss_on", task="text-generation"),
        *(_task_option(field, task="fill-mask") for field in ("mask_probability", "whole_word")),
        *(
            _task_option(field, task="text2text-generation")
            for field in ("source_prefix", "max_target_tokens", "num_beams")
        ),
        *(_task_option(field, task="question-answering") for field in ("doc_stride", "max_answer_tokens", "no_answer")),
        _metric_rule("training.bestMetric", has="has(self.training) && has(self.training.bestMetric)", stopping=False),
        _metric_rule(
            "training.earlyStopping.metric",
            has="has(self.training) && has(self.training.earlyStopping) && has(self.training.earlyStopping.metric)",
            stopping=True,
        ),
    )
