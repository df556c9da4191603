"""The seam `Task`: everything that depends on what the model is to do. One task a file in this folder; `TASKS` is the table.

A task is functions in a frozen dataclass. The loop, evaluation, preflight, export and the methods ask the task, and never for its name.
A *target* is one thing that the loss is taken over: a row of text classification, a word of token classification. The loss is a SUM
over targets, and the number of targets of a global batch is known before the batch is run, so that the result is exact on any number of ranks.

Shapes: N = rows, B = rows of a micro-batch, T = tokens of a row (of the longest one in a batch), M = targets, C = classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_trainer.dataset.shards import TokenizedSplit

Row = dict[str, Any]
"""A row of a format, by the format's own names: `{"text": …, "label": …}`, `{"tokens": […], "tags": […]}`."""


@dataclass(frozen=True, kw_only=True)
class EncodedRow:
    """One row as the tokenizer and the task make it, whole: it is cut later, all token columns alike."""

    input_ids: NDArray[np.int32]
    """[T], with special tokens."""
    token_columns: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    """Values for each token, [T] each, by name; such as the labels of token classification."""
    row_columns: dict[str, int] = field(default_factory=dict)
    """One value for the row, by name; such as the label of text classification."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows as the model takes them."""

    inputs: dict[str, NDArray[np.int64]]
    """Arguments of the model's forward call, [B, T] each, padded on the right: `input_ids`, `attention_mask`."""
    labels: NDArray[np.int64]
    """What `loss_sum` compares with: [B] or [B, T]; IGNORED where a token is no target."""


LABELS = "labels"
"""Column that `loss_sum` compares with: a row column or a token column, as the task decides."""
IGNORED = -100
"""Label of a token that is no target, as in torch's cross-entropy."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a task is. Fields are added here as more tasks need them; a task gives all of them."""

    name: str
    """Hugging Face task id, as in `spec.task`."""
    auto_class: str
    """Class of transformers that loads the model, such as `AutoModelForTokenClassification`."""
    problem_type: str | None
    """`problem_type` of the model's config, where the architecture asks for it."""
    peft_type: str
    """Member of `peft.TaskType`, such as `SEQ_CLS`."""
    formats: tuple[str, ...]
    """Formats of rows that the task learns from (`data.format`), the usual one first; `data.formats` reads them."""
    encode: Callable[[Any, Sequence[Row], Mapping[str, int]], list[EncodedRow]]
    """(fast tokenizer of transformers, rows, class ids by name) → one encoded row each."""
    collate: Callable[[TokenizedSplit, NDArray[np.int64], int], Batch]
    """(split, rows, pad token id) → the batch."""
    loss_sum: Callable[[Any, Tensor, float], Tensor]
    """(model output, labels, label smoothing) → the SUM of the loss over the targets, float32."""
