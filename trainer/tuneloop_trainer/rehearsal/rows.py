"""Picks the rows of a rehearsal: few, and as unlike as the data has them.

Shapes: N = rows of the split, M = its targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.dataset.shards import open_split, read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.tasks.task import Row, Task

_LOOKED_AT = 2000
"""Rows that are looked at, from the first one on. To read the texts of rows far behind takes long."""
_MOST_TOKENS = 1024
"""Tokens of the longest row that is picked, if a shorter row is there: longer rows take minutes on a CPU."""
_LABELS = 4
"""Labels of which a row is picked, at most."""


@dataclass(frozen=True, kw_only=True)
class PickedRows:
    """The rows of a rehearsal."""

    split: TokenizedSplit
    """The training split."""
    chosen: NDArray[np.int64]
    """Indexes of the rows in the split, in order."""
    rows: list[Row]
    """As the format names their columns."""

    @property
    def batches(self) -> list[NDArray[np.int64]]:
        """The longest row alone, and all others in one batch, which pads them: few tokens, and two micro-batches of a step."""
        longest = int(self.chosen[self.split.lengths[self.chosen].argmax()])
        others = self.chosen[self.chosen != longest]
        return [np.array([longest]), *([others] if len(others) else [])]

    @property
    def targets(self) -> int:
        """What the loss is summed over in these rows."""
        return int(self.split.targets[self.chosen].sum())


def pick_rows(dataset: Path, *, task: Task, tokenizer: Any) -> PickedRows:
    """Return the longest row, the shortest, the shortest of each of a few labels, and a row whose text holds a special token, where there is one."""
    split = open_split(dataset, "train")
    of_rows = [row for _, row in islice(read_rows(dataset, "train"), _LOOKED_AT)]
    rows = [of_rows[row] for row in split.row_of_window.tolist() if row < len(of_rows)]
    texts = [task.text_of(row) for row in rows]
    lengths = split.lengths[: len(texts)]
    picked = {_longest(lengths), int(lengths.argmin())}
    picked |= set(_of_labels(task.target_labels(split), task.lines_per_row(split)[: len(texts)], lengths))
    special = _with_special_token(texts, tokenizer.all_special_tokens)
    if special is not None and lengths[special] <= _MOST_TOKENS:
        picked.add(special)
    chosen = sorted(picked)
    return PickedRows(split=split, chosen=np.array(chosen, dtype=np.int64), rows=[rows[index] for index in chosen])


def _longest(lengths: NDArray[np.int64]) -> int:
    bounded = np.where(lengths <= _MOST_TOKENS, lengths, -lengths)  # where all are longer, this is the shortest
    return int(bounded.argmax())


def _of_labels(labels: NDArray[np.int64], lines: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[int]:
    """Return the shortest row of each of a few labels, or sets of labels. labels: as `Task.target_labels` returns them; lines: of each row."""
    row_of_target = np.repeat(np.arange(len(lines)), lines)
    by_length = np.argsort(lengths[row_of_target], kind="stable")
    _, first = np.unique(labels[: len(row_of_target)][by_length], axis=0, return_index=True)
    rows = row_of_target[by_length][first]
    return [int(row) for row in rows[:_LABELS] if lengths[row] <= _MOST_TOKENS]


def _with_special_token(texts: Sequence[str], special: Sequence[str]) -> int | None:
    return next((index for index, text in enumerate(texts) if any(token in text for token in special)), None)
