"""The section of the model card about a search: what was tried, what the best trial had, and what made the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_api.contract.search import Parameters, SearchReport, Trial
    from tuneloop_api.v1alpha1.fine_tune_job.search_fields import ParameterValue
    from tuneloop_trainer.export.card_facts import Facts

_SHOWN = 50
"""Trials in the table; `search.json` has all."""


def search(facts: Facts) -> str:
    """Return the section; nothing where there was no search."""
    record = facts.trained.search
    return "" if record is None else search_section(record)


def search_section(record: SearchReport) -> str:
    """Return the section of a search."""
    values = in_words(record.parameters or {})
    text = (
        f"## Search\n\nTrial {record.best} of {record.total} is published: {values}. Trials were compared by {record.metric} on the validation split; "
        f"{record.pruned} ended early. The test split was read for the published trial alone.\n"
    )
    if record.importance:
        parts = ", ".join(f"`{path}` {part:.0%}" for path, part in record.importance.items())
        text += f"\nPart of the differences between complete trials that each field explains (fANOVA): {parts}.\n"
    head = f"\n| trial | values | end | steps | {record.metric} | evaluations |\n|---|---|---|---|---|---|\n"
    rows = "".join(_row(trial) for trial in record.record[:_SHOWN])
    more = len(record.record) - _SHOWN
    return text + head + rows + (f"\nand {more} more in `search.json`.\n" if more > 0 else "")


def in_words(parameters: Parameters) -> str:
    """Return values with the paths of their fields."""
    return ", ".join(f"`{path}: {shown(value)}`" for path, value in parameters.items())


def shown(value: ParameterValue) -> str:
    """Return a value as YAML has it, a number to four digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(trial: Trial) -> str:
    value = "–" if trial.value is None else f"{trial.value:.4f}"
    curve = " ".join(f"{evaluated.value:.3f}" for evaluated in trial.evaluations[-8:])
    return f"| {trial.number} | {in_words(trial.parameters)} | {trial.state} | {trial.steps} | {value} | {curve} |\n"
