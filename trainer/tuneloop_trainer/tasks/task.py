"""The seam `Task`: everything that depends on what the model is to do. One task a file in this folder; `TASKS` is the table.

A task is functions in a frozen dataclass. The loop, evaluation, preflight, export and the methods ask the task, and never for its name.
A *target* is what the loss is summed over: a row of text classification, a word (or token) of token classification. The loss is a SUM
over targets, and the number of targets of a global batch is known before the batch is run, so that the result is exact on any number of ranks.

Evaluation keeps a line of numbers of each target, its logits as a rule. A language model has a target for every token and a vocabulary for classes:
such a task keeps a line of each row, with sums over its targets (`values_per_line`, `lines_per_row`; `tasks/language_model.py`).

Nothing here imports torch: `prepare` uses a task for its rows alone.

Shapes: N = rows, B = rows of a micro-batch, T = tokens of a row (of the longest row in a batch), M = targets, or lines that are kept, C = classes, K = values of a line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_api.contract.artifact import TargetScale
    from tuneloop_api.contract.data_settings import BalanceSettings
    from tuneloop_api.contract.settings import Settings
    from tuneloop_api.features.task_features import TaskFeatures
    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.measure import Evaluation
    from tuneloop_trainer.evaluation.paired_scores import PairedScores
    from tuneloop_trainer.evaluation.predictions import Predictions


def _targets(split: TokenizedSplit) -> NDArray[np.int64]:
    return split.targets


def _unchanged(values: NDArray[np.float32], _labels: NDArray[Any]) -> NDArray[np.float32]:
    return values


Row = dict[str, Any]
"""A row of a format, by the format's own names: `{"text": …, "label": …}`, `{"tokens": […], "tags": […]}`."""


@dataclass(frozen=True, kw_only=True)
class EncodedRow:
    """One row as the tokenizer and the task make it, whole: it is cut later, all token columns alike."""

    input_ids: NDArray[np.int32]
    """[T], with special tokens."""
    token_columns: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    """Values for each token, [T] each, by name; such as the labels of token classification."""
    sequences: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    """Further sequences of the row, each of a length of its own, by name; such as the tokens that a model is to write. No cut shortens them."""
    row_columns: dict[str, int] | dict[str, float] = field(default_factory=dict)
    """One value for the row, by name; such as the label of text classification."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows as the model takes them."""

    inputs: dict[str, NDArray[np.int64]]
    """Arguments of the model's forward call, [B, T] each, padded on the right: `input_ids`, `attention_mask`."""
    labels: NDArray[Any]
    """What `loss_sum` compares with: [B], [B, C] or [B, T], int64, IGNORED where a token is no target; or numbers, float64 [B]."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How the model writes texts, in training, in the export and for whoever loads the published model."""

    max_tokens: int
    """Most tokens of a text; no target has more."""
    num_beams: int
    """Beams of the search; 1 takes the likeliest token each time."""
    sums_of_written: Callable[[Sequence[Row], Sequence[str]], NDArray[np.float64]]
    """(rows, texts that the model wrote for them) → what each row adds to the sums of the metrics, [n, S]."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What something far simpler than the model predicts for the test split."""

    name: str
    predicted: NDArray[Any]
    """What it chooses for each target, as `Task.choose` returns it."""
    description: str | None = None
    """Name of the chosen variant, where the baseline chose among several."""


class Evaluate(Protocol):
    """Returns every number of the finished model, with intervals over rows."""

    def __call__(
        self, *, validation: Predictions, test: Predictions, labels: Sequence[str], bootstrap: Bootstrap
    ) -> Evaluation: ...


class FitBaselines(Protocol):
    """Fits the baselines on the prepared data and predicts its test split, the simplest first. `beat` is called with the fraction done."""

    def __call__(self, dataset: Path, *, seed: int, beat: Callable[[float], None]) -> list[Baseline]: ...


class CollateForTraining(Protocol):
    """Returns the batch of rows of the training split. seed: `training.seed`."""

    def __call__(
        self, split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int, *, seed: int, epoch: int
    ) -> Batch: ...


@dataclass(frozen=True, kw_only=True)
class CardTexts:
    """What the model card says about the task in words."""

    title: str
    """Name of the task."""
    summary: Callable[[Sequence[str]], str]
    """Class names, safe for Markdown → what the model does, in a sentence or two."""
    unit: str
    """What a class is counted in on the test split: `test rows`."""
    confusion: str | None
    """Sentence above the confusion matrix; None: there is none."""
    function: str
    """What makes probabilities of logits: `softmax` or `sigmoid`."""
    calibrated: str
    """What the calibration error is measured on: `test rows`."""
    limits: tuple[str, ...]
    """Sentences about what the model does with inputs that it was not trained for."""
    loading: Callable[[float], str]
    """Temperature → Python code that loads `model/` in the artifact's folder and prints predictions, with the scores of the model server."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric by which two models are compared."""

    score: Callable[[Predictions, NDArray[np.int64], Sequence[str], Bootstrap], Interval]
    """As `Task.score`."""
    paired: Callable[[Predictions, NDArray[np.int64], Sequence[str]], list[PairedScores]]
    """As `Task.paired`; slices are in the primary metric."""


def _logits(output: Any) -> Tensor:
    logits: Tensor = output.logits
    return logits


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a task is. Fields are added here as more tasks need them; a task gives all of them."""

    name: str
    """`Settings.task_id`: the Hugging Face task id, as in `spec.task`, and perhaps a problem type behind a slash."""
    auto_class: str
    """Class of transformers that loads the model, such as `AutoModelForTokenClassification`."""
    architectures: str
    """Name of the table in transformers' `modeling_auto` that maps each `model_type` to its class for the task."""
    problem_type: str | None
    """`problem_type` of the model's config, where the architecture asks for it."""
    peft_type: str
    """Member of `peft.TaskType`, such as `SEQ_CLS`."""
    formats: tuple[str, ...]
    """Formats of rows that the task learns from (`data.format`), the usual one first; `data.formats` reads them."""

    text_of: Callable[[Row], str]
    """Row → the text that the model reads."""
    encode: Callable[[Any, Sequence[Row], Mapping[str, int]], list[EncodedRow]]
    """(fast tokenizer of transformers, rows, class ids by name) → the encoded rows, in the same order."""
    reads_text_alone: bool = True
    """Whether the tokenizer makes the model's tokens of `text_of` alone; False: `encode` has its own way, and reads special tokens as such."""
    special_tokens_in_texts: bool = False
    """Whether clients write special tokens into their texts, such as the mask token: the published tokenizer reads them as such. Texts of rows are text alone in any case."""
    with_options: Callable[[Task, Settings], Task] | None = None
    """(task, settings of the job) → the task with the options that the settings have; None: the task has none. See `tasks.task_of`."""
    with_all_tokens: Callable[[EncodedRow, Sequence[str]], EncodedRow] | None
    """(training row after the cut, class names) → the row with `taskOptions.labelAllTokens`; None: the task has no such option."""
    with_targets: Callable[[EncodedRow, int], EncodedRow] | None = None
    """(row after the cut, row id) → the row with its targets; None: `encode` has found them."""
    windows: Callable[[EncodedRow, int], list[EncodedRow]] | None = None
    """(whole row, most tokens) → the windows in which a long row is read, none if it cannot be read; None: long rows are cut. Windows have the row column `WINDOW`."""
    windows_of_text: Callable[[Any, str, int], list[EncodedRow]] | None = None
    """(fast tokenizer, what `text_of` returns, most tokens) → the windows of a text without targets, as they are read together for one answer; None: `windows` are blocks, each of which is read for itself, or long rows are cut."""
    check_rows: Callable[[Mapping[str, Mapping[str, NDArray[Any]]]], None] | None = None
    """Row columns by split → nothing. Raises DataError if the rows lack what the task's options ask for."""
    target_share: float = 1.0
    """Which share of a row's tokens are targets, at most, where the classes are the tokens of a vocabulary: the memory of the loss is planned by it."""
    collate: Callable[[TokenizedSplit, NDArray[np.int64], int], Batch]
    """(split, rows, pad token id) → the batch."""
    collate_for_training: CollateForTraining | None = None
    """The same for a batch of training, if other targets of a row are drawn for each epoch; a row has as many of them in all. None: `collate`."""
    packing: Literal["causal", "bidirectional"] | None = None
    """How tokens of a row see each other where rows are packed into lines (`tasks.packing`); labels are [B, T] then. None: rows are not packed."""
    target_labels: Callable[[TokenizedSplit], NDArray[Any]]
    """Split → class ids of all its targets, [M], or 0 and 1 for each label, [M, C], or numbers, float64 [M]; or what the sums of each row are of, [N, …]."""

    loss_sum: Callable[[Any, Tensor, float], Tensor]
    """(model output, labels, label smoothing) → the SUM of the loss over the targets, float32."""
    target_values: Callable[[Any, Tensor], Tensor]
    """(model output, labels) → what is kept of the batch, row after row, [lines of the batch, K]: as a rule the logits of each target."""
    values_per_line: Callable[[Sequence[str]], int] = len
    """Class names → K."""
    lines_per_row: Callable[[TokenizedSplit], NDArray[np.int64]] = _targets
    """Split → how many lines are kept of each row, [N]: as a rule as many as the row has targets."""
    complete: Callable[[TokenizedSplit, NDArray[np.float32]], NDArray[np.float32]] | None = None
    """(split, what was kept of it) → the values of its predictions, where these take the rows themselves; None: they are what was kept."""
    comparable: Callable[[NDArray[np.float32], NDArray[Any]], NDArray[np.float32]] = _unchanged
    """(what was kept, labels as `target_labels` has them) → the part that export compares with what training measured, in numbers that rounding changes as it changes logits."""
    head_values: Callable[[Any], Tensor] = _logits
    """Model output → what the head computes, with a number for each label of the model in the last dimension."""
    has_new_head: bool = True
    """Whether the task puts a head of its own on the pre-trained model; False: the model's own output layer is its head, and must be in its files."""
    prior_loss: Callable[[TokenizedSplit], float]
    """Training split → mean loss of a target, in nats, for a model that knows how often each class occurs and nothing else."""

    primary_metric: str
    """Metric that baselines are measured in, and that the log names."""
    metrics: Callable[[Predictions, Sequence[str]], dict[str, float]]
    """(predictions, class names) → the metrics during training: `loss`, `accuracy` of the targets, and those that the task's users know."""
    evaluate: Evaluate
    choose: Callable[[NDArray[np.float32]], NDArray[Any]]
    """What was kept, [M, K] → what `score` counts: class ids [M], or 0 and 1 for each label, [M, C], or numbers [M]; or the sums of each row as they are."""
    calibration_error: Callable[[Predictions, float], float] | None
    """(predictions, temperature) → how far its confidence is from the share of right answers; None: it has no confidence."""
    score: Callable[[Predictions, NDArray[Any], Sequence[str], Bootstrap], Interval]
    """(test predictions, other choices, class names, bootstrap) → the primary metric of these class ids on the same rows."""
    gain: Callable[[Predictions, NDArray[Any], Sequence[str], Bootstrap], Interval]
    """(test predictions, a baseline's choices, class names, bootstrap) → by how much the primary metric of the model is better than that of the baseline, paired by row."""
    paired: Callable[[Predictions, NDArray[Any], Sequence[str]], list[PairedScores]] | None
    """(test predictions, another model's choices, class names) → what each row adds to the primary metric of both: of all rows, then of each slice.
    None: its results are not compared with a champion."""
    other_measures: Mapping[str, Measure] = field(default_factory=dict)
    """By name, further metrics of `training.bestMetric` by which the result may be compared with a champion."""
    fit_baselines: FitBaselines
    rival: str
    """Name of the baseline that the model is to beat."""
    rival_title: str
    """The same in words, for the model card."""
    decide: Callable[[Predictions, Evaluation], Predictions] | None = None
    """(test predictions, evaluation) → the predictions with the threshold that the validation split chose, as they are compared with baselines; None: there is none."""
    fit: Callable[[Task, TokenizedSplit], Task] | None = None
    """(task, training split) → the task with the scale of the split's numbers; None: the task takes nothing of the rows. See `on`."""
    prompt_of: Callable[[Any, Row], list[int]] | None = None
    """(fast tokenizer as it is published, row) → the tokens that a server gives the model when it is asked for what the row wants written; None: the model writes no text."""
    generation: Generation | None = None
    """How the model writes a text for each test row, at the end of training; None: it writes none. A model that does takes `labels` in its forward call."""
    target_scale: TargetScale | None = None
    """What `loss_sum` and `target_values` of a fitted task scale by: the model in training gives (number - mean) / std, the published one the number."""
    balance: Callable[[Task, TokenizedSplit, BalanceSettings, int], Task] | None = None
    """(task, training split, settings, number of classes) → the task with class weights and focal loss in `loss_sum` and `prior_loss`; None: its targets have no classes."""
    features: TaskFeatures
    """What servers count of the model's answers; the logits that it takes are those of a row's targets."""
    card: CardTexts

    def on(self, train: TokenizedSplit) -> Task:
        """Return the task as training and measuring of a model in training need it. Published models are read by the task itself. Raises DataError."""
        return self if self.fit is None else self.fit(self, train)

    def balanced(self, train: TokenizedSplit, settings: BalanceSettings, *, classes: int) -> Task:
        """Return the task with the loss that training asks for. Validation losses and metrics stay as they are. Raises ConfigError where no classes could be balanced."""
        if not settings.non_defaults():
            return self
        if self.balance is None:
            raise ConfigError(
                f"spec.data.balance: {self.name} has no classes whose targets could count more or less",
                hint="leave data.balance out",
            )
        return self.balance(self, train, settings, classes)

    @property
    def hub_id(self) -> str:
        """Hugging Face task id."""
        return self.name.partition("/")[0]
