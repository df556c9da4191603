"""The seam `DataStep`: one change of the rows between reading and tokenizing. One step a file in this folder; `data.pipeline.STEPS` is the order.

What a step may do to the table, and how:

- leave rows out or move them to another split: return `replace(table, splits=…)`. The rows stay in the table, so that places in it stay valid;
- change or add rows: read `table.read()` batch by batch, and write every row, the unchanged ones too, into a `TableBuilder` on
  `context.new_contents(…)`. `builder.copy` keeps split, group, id and place of the row that a new row is made from. The builder makes the
  hashes and labels again. Memory stays one batch of rows and the table's arrays; the old contents are deleted by the pipeline;
- only look: return the table as it is, and facts.

What a step must not do: change a table in place; look at rows of test or validation to decide about training rows, but to keep them apart;
depend on anything but the table, the settings that its `settings` returns, and seeds among them: the data set's digest is made of
(name, version, settings), so that equal digests must mean equal data. A step that adds rows adds them to the training split alone, and comes
before `keep-splits-apart`, which finds a new text that stands in another split. A step that changes texts comes before `exact-duplicates`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.row_table import RowTable


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """What a step may use beside the table."""

    settings: Settings
    folder: Path
    """For files that live until the rows are tokenized."""
    progress: Callable[[float], None]
    """Takes the done part of this step, 0 to 1."""

    def new_contents(self, step: str) -> Path:
        """Return the path of the contents that a step writes."""
        return self.folder / f".rows-{step}.arrow"


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step made of the table."""

    table: RowTable
    facts: dict[str, Any] = field(default_factory=dict)
    """JSON data for the data report: what the step did, in numbers."""


@dataclass(frozen=True, kw_only=True)
class DataStep:
    """A step: pure but for the contents of rows."""

    name: str
    """In the data report and in the digest; for example `exact-duplicates`."""
    version: int
    """Grows when the same table and settings give another table: data sets that were prepared before are then prepared again."""
    settings: Callable[[Settings], dict[str, Any]]
    """job's settings → what of them the step depends on, as JSON data: only fields that differ from their defaults (`non_defaults`)."""
    run: Callable[[RowTable, StepContext], StepResult]
    """Raises DataError or ConfigError where the job cannot learn from such rows."""
