"""The seam `Task`: everything in the server that depends on what the model does. One task a file in this folder; `TASKS` is the table.

A task is functions in a frozen dataclass. Runtimes, batching, protocols and metrics ask the task, and never for its name.
Requests and responses have the shape that Hugging Face defines for the task id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeVar

from tuneloop_server.fields import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tuneloop_api.contract.artifact import AnswerSpans, Manifest
    from tuneloop_api.features.task_features import TaskFeatures, Values
    from tuneloop_server.answers.answer_format import AnswerFormat
    from tuneloop_server.generation.answer import Generated
    from tuneloop_server.generation.settings import Asked
    from tuneloop_server.model import Encoded, Vocabulary, Window

Parameters = TypeVar("Parameters")


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a task must know of the served model to make a response."""

    labels: Sequence[str]
    """In the order of their ids."""
    temperature: float
    """Logits are divided by it for calibrated confidence."""
    vocabulary: Vocabulary
    answer_spans: AnswerSpans | None = None
    """How answers are chosen; None: the artifact does not say, or the task has none."""

    @classmethod
    def of(cls, manifest: Manifest, vocabulary: Vocabulary) -> Self:
        """Return the facts of an artifact."""
        return cls(
            labels=manifest.labels,
            temperature=manifest.temperature,
            vocabulary=vocabulary,
            answer_spans=manifest.answer_spans,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A prediction as the metrics count it."""

    label: str
    confidence: float
    """Probability of the label: softmax(logits)."""
    calibrated_confidence: float
    """Probability of the label after temperature scaling: softmax(logits / temperature)."""
    entropy: float
    """Of softmax(logits), as a part of the largest that so many labels can have (`entropy_ratio`)."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a text is answered with, and what the metrics count of it."""

    value: object
    """Plain JSON data."""
    predictions: Sequence[Prediction]
    features: Callable[[], Values]
    """Returns the task's features of the text (`Task.features`), of its first window alone: as if it were cut, as in training."""


@dataclass(frozen=True, kw_only=True)
class OutputTensor:
    """An output of the Open Inference Protocol. Its first dimension are the texts."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    row: Callable[[Any, Sequence[str]], Sequence[str | float]]
    """(the value of a text's `Answer`, the model's labels) → the elements of the text's row."""
    is_by_label: bool = False
    """A row has an element for each label of the model, in the order of their ids: the shape is [n, k]. Else it has one, and the shape is [n]."""


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """The responses for some texts as tensors of the Open Inference Protocol."""

    outputs: tuple[OutputTensor, ...]
    refused_parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the task for which tensors have no place → why."""


JSON_TENSOR = OutputTensor(
    name="response", datatype="BYTES", row=lambda value, _: [json.dumps(value, ensure_ascii=False)]
)
"""The response for a text as JSON, the same as in the Hugging Face task API."""


def read_text(field: str, value: object) -> str:
    """Return a text as it was sent. Raises RequestError unless it is one."""
    return text_of(field, value, expected="expected a string or a list of strings")


def one_window(_: object) -> None:
    """Cut long texts: a text is one window."""


def no_refusal(_texts: Sequence[Encoded], _vocabulary: Vocabulary) -> str:
    """Answer all texts."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Generating(Generic[Parameters]):
    """What the server asks of a task whose model generates text."""

    asked: Callable[[Parameters], Asked]
    """What a client asks of the answer to each of its texts."""
    answer: Callable[[str, Generated, Parameters], Answer]
    """(text, what was generated, parameters) → what the text is answered with."""
    whole_text: Callable[[str, str, Parameters], str]
    """(text, what was generated, parameters) → the whole text at the end of a stream."""


def no_windows(*_: object) -> NoReturn:
    """Stand for `Task.answer` of a task whose model generates: it has `Generating.answer`."""
    raise AssertionError("a model that generates has no windows")


@dataclass(frozen=True, kw_only=True)
class Task(Generic[Parameters]):
    """What the server asks of a task."""

    name: str
    """As in the artifact's manifest: a Hugging Face task id, and perhaps a problem type behind a slash."""
    auto_class: str
    """Class of transformers that loads the model, such as `AutoModelForTokenClassification`."""
    needs_offsets: bool
    """Whether the response says where in the text a token stands."""
    answers_at_masks: bool = False
    """Whether the model answers at the mask tokens of a text alone, which are read as such: the logits are those of its mask tokens, [masks, size of the vocabulary]."""
    refusal: Callable[[Sequence[Encoded], Vocabulary], str] = no_refusal
    """(first window of each text of a request, vocabulary) → why they cannot be answered, naming a text by its number from 1; empty if they can."""
    reads_pairs: bool = False
    """Whether a text is a question in its first line and a context behind it, which the model reads as a pair, in windows (`runtimes.pair_tokenizer`)."""
    read_input: Callable[[str, object], str] = read_text
    """(field, what a client sends in the Hugging Face task API for one text) → the text. Raises RequestError naming the field."""
    read_parameters: Callable[[Mapping[str, object]], Parameters]
    """Hugging Face's `parameters`, without nulls → parameters. Raises RequestError naming the field that is wrong."""
    stride: Callable[[Parameters], int | None] = one_window
    """Tokens that the windows of a long text share; None: the text is cut."""
    answer: Callable[[str, Sequence[Window], Parameters, ModelFacts], Answer] = no_windows
    """(text, its windows, parameters, facts) → what the text is answered with."""
    generating: Generating[Parameters] | None = None
    """None: an answer is made of one pass over each window, by `answer`."""
    features: TaskFeatures
    """What is measured of an answer, in the bins that the artifact has for it."""
    answer_format: AnswerFormat
    """How its answers are read back: what they chose, how sure they are, whether two of them agree. An entry of `tuneloop_server.answers.ANSWERS`."""
    has_one_label: bool = False
    """Whether each text has exactly one prediction, whose label is one of the model's: only such predictions can get a label as feedback."""
    tensors: Tensors = Tensors(outputs=(JSON_TENSOR,))
    """The response in the Open Inference Protocol."""

    @property
    def takes_feedback(self) -> bool:
        """Whether its answers get tokens: feedback is a label, or the score of a generated answer."""
        return self.has_one_label or self.generating is not None

    def label_names(self, labels: Sequence[str]) -> list[str]:
        """Return every label that a `Prediction` may have; each gets a series in `tuneloop_predictions_total`. labels: the model's."""
        return self.answer_format.class_names(labels)
