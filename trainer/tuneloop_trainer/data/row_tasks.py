"""What preparing data needs of a task: the row formats that it learns from, and its way from rows to tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.tasks import text_classification, token_classification

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tuneloop_trainer.tasks.task import EncodedRow, Row


@dataclass(frozen=True, kw_only=True)
class RowTask:
    """The part of a `Task` that is about rows."""

    formats: tuple[str, ...]
    encode: Callable[[Any, Sequence[Row], Mapping[str, int]], list[EncodedRow]]


ROW_TASKS = {
    "text-classification": RowTask(formats=("text-label",), encode=text_classification.encode),
    "token-classification": RowTask(formats=("tokens-tags",), encode=token_classification.encode),
}
