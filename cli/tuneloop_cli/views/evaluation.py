"""The metrics and baselines of a finished job, whatever its task is. Pure.

The trainer names the metrics and writes the primary metric first. Baselines are measured with the primary metric, on the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_cli.views.values import Manifest, at, interval

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of an evaluation."""

    name: str
    """Name of the metric or of the baseline."""
    value: str
    """The value with its interval; that of a baseline begins with the name of the primary metric."""
    split: str | None
    """Split of the metric; None for a baseline."""


def scores(job: Manifest) -> Iterator[Score]:
    """Yield the baselines, then the metrics of the trained model, in the order of the status."""
    metrics = at(job, "status.evaluation.metrics") or []
    primary = f"{metrics[0]['name']} " if metrics else ""
    for baseline in at(job, "status.evaluation.baselines") or []:
        yield Score(name=baseline["name"], value=f"{primary}{interval(baseline)}", split=None)
    for metric in metrics:
        yield Score(name=metric["name"], value=interval(metric), split=metric["split"])
