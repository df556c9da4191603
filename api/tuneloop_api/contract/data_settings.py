"""The settings of the data block: where the rows are, and how they are checked, divided and cleaned. `settings` says what a default is, and what follows its change."""

from __future__ import annotations

from typing import Literal

from tuneloop_api.contract.settings_block import SettingsBlock


class ColumnSettings(SettingsBlock):
    """Column names of a source."""

    text: str = "text"
    label: str = "label"
    tokens: str = "tokens"
    tags: str = "tags"
    messages: str = "messages"
    prompt: str = "prompt"
    completion: str = "completion"
    source: str = "source"
    target: str = "target"
    context: str = "context"
    question: str = "question"
    answers: str = "answers"


class LabelRuleSettings(SettingsBlock):
    """Turns a number into one of two classes."""

    above: float
    names: list[str]
    """Of the rows at or below `above`, and of those over it."""
    drop_within: float | None = None


RECENT_WINDOW = "7d"
"""Age of the feedback that `evaluation.compareWith.recent` reads, at most, where its source says nothing else."""


class SourceSettings(SettingsBlock):
    """Rows from one file, folder or saved data set."""

    uri: str
    split: str = "train"
    columns: ColumnSettings = ColumnSettings()
    label_rule: LabelRuleSettings | None = None
    limit: int | None = None
    cutoff: str | None = None
    """Of `feedback://` alone: the last moment of feedback that counts, RFC 3339; None: when `prepare` begins."""
    window: str | None = None
    """Of `feedback://` alone: predictions that were made within so long before `cutoff`; None: all, and as recent rows `RECENT_WINDOW`."""


class ValidationSettings(SettingsBlock):
    """What to do with rows that cannot be used."""

    max_bad_fraction: float = 0.0
    samples: int = 20


class SplitSettings(SettingsBlock):
    """How rows are divided."""

    validation: float = 0.1
    test: float = 0.1
    method: Literal["hash", "random"] = "hash"
    stratify: bool | None = None
    """None: true for `random` without `groupBy`, else false."""
    group_by: str | None = None
    seed: int = 42


class DeduplicateSettings(SettingsBlock):
    """Which repeated rows are removed."""

    exact: bool = True
    across_splits: bool = True


class BalanceSettings(SettingsBlock):
    """What rare classes and hard targets count in the loss."""

    class_weights: Literal["none", "balanced", "effective-number"] = "none"
    focal_gamma: float = 0.0


class DataSettings(SettingsBlock):
    """The rows to learn from and to measure on."""

    train: list[SourceSettings]
    validation: list[SourceSettings] | None = None
    test: list[SourceSettings] | None = None
    format: Literal[
        "auto",
        "text-label",
        "text-labels",
        "text-score",
        "tokens-tags",
        "squad",
        "source-target",
        "messages",
        "prompt-completion",
        "text",
    ] = "auto"
    validate_rows: ValidationSettings = ValidationSettings()
    split: SplitSettings = SplitSettings()
    deduplicate: DeduplicateSettings = DeduplicateSettings()
    max_tokens: int | None = None
    packing: Literal["auto", "always", "never"] = "auto"
    allow_missing_classes: bool = False
    """Validation and test may lack classes."""
    balance: BalanceSettings = BalanceSettings()
