"""What a row format is: which columns a file must have, and how their values become a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.data.sources.excerpt import NOTHING, Excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import pyarrow as pa

    from tuneloop_api.contract.data_settings import SourceSettings
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.sources.raw import BadReason, RawRow
    from tuneloop_trainer.tasks.task import Row


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a row cannot be used."""

    reason: BadReason
    excerpt: Excerpt = NOTHING
    """What was found."""


class LeftOut(Enum):
    """Why a row that could be used is not wanted."""

    TOO_CLOSE = "closer to labelRule.above than dropWithin"


@dataclass(frozen=True, kw_only=True)
class SourceToParse:
    """A source, before its rows are read."""

    field: str
    """Path in the spec, for messages: `data.train[0]`."""
    settings: SourceSettings
    rows: Callable[[], Iterator[RawRow]]
    """Reads the source from its first row on, each time that it is called."""


@dataclass(frozen=True, kw_only=True)
class Parsing:
    """How the rows of all sources are parsed."""

    parsers: list[Callable[[RawRow], Row | Unusable | LeftOut]]
    """One for each source. Each takes rows without `problem`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What was found out about the sources, for the data report."""


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """A row format. A row is a dict with the names of `columns`, and nothing else."""

    name: str
    """As in `data.format`."""
    columns: tuple[str, ...]
    """Names of the row's values, and of the fields of a source's `columns`, whose defaults are the names in a file."""
    schema: pa.Schema
    """Types of the columns, as rows are stored."""
    parsing: Callable[[Sequence[SourceToParse], Settings], Parsing]
    """(sources, settings) → the parsers. It may read the first rows of a source. Raises ConfigError for settings that do not fit the format."""
    texts: Callable[[Row], tuple[str, ...]]
    """row → what a person reads. Two rows with equal texts are duplicates."""
    answer: Callable[[Row], str]
    """row → what the model is to find. Rows with equal texts and other answers contradict each other."""
    labels: Callable[[Row], tuple[str, ...]]
    """row → the distinct labels in it, in fixed order."""
    label_names: Callable[[Collection[str]], list[str]]
    """distinct labels of all rows → the labels in the order of their ids, where `model.labels` names none."""
    class_of: Callable[[str], str | None]
    """label → the class that every split must have rows of; None: no split must have the label."""
    fewest_classes: int
    no_classes: str
    """What is wrong if there are fewer classes; `{label}` is the class that is there."""
    one_label: bool
    """Each row has exactly one label: a split can be stratified by it."""
    expansion: int
    """Bytes of prepared data, at most, for each byte of source."""
