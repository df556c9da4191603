"""Chooses the best evaluation, and decides when to stop early. Pure; every checkpoint keeps the selection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.training import FALLING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.contract.settings import EarlyStoppingSettings, TrainingSettings
    from tuneloop_api.v1alpha1.fine_tune_job.training import MetricName


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best evaluation so far; of equal evaluations the earlier."""

    step: int
    metric: MetricName
    value: float


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long early stopping has waited for an improvement."""

    best_value: float
    waited: int = 0
    """Evaluations in a row without an improvement of at least `min_delta`."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The outcome of all evaluations so far."""

    best: Best | None = None
    patience: Patience | None = None
    best_steps: tuple[int, ...] = ()
    """Steps that were the best when they were evaluated, best first."""
    evaluated_step: int = -1
    """Step of the newest evaluation."""

    def with_evaluation(self, step: int, metrics: Mapping[str, float], training: TrainingSettings) -> Selection:
        """Return the selection after one more evaluation."""
        value = metrics[training.best_metric]
        best, best_steps = self.best, self.best_steps
        if best is None or gain(training.best_metric, best.value, value) > 0:
            best = Best(step=step, metric=training.best_metric, value=value)
            best_steps = (step, *best_steps)
        patience = self.patience
        if training.early_stopping is not None:
            metric = training.early_stopping.metric or training.best_metric
            patience = _waited(patience, metrics[metric], metric, training.early_stopping)
        return Selection(best=best, patience=patience, best_steps=best_steps, evaluated_step=step)

    def stops(self, training: TrainingSettings) -> bool:
        """Tell whether early stopping has waited long enough."""
        stopping = training.early_stopping
        return stopping is not None and self.patience is not None and self.patience.waited >= stopping.patience


def gain(metric: MetricName, before: float, after: float) -> float:
    """Return by how much a metric got better: losses and errors fall, all others rise."""
    return before - after if metric in FALLING else after - before


def _waited(patience: Patience | None, value: float, metric: MetricName, settings: EarlyStoppingSettings) -> Patience:
    if patience is None:
        return Patience(best_value=value)
    better = gain(metric, patience.best_value, value)
    if better > 0 and better >= settings.min_delta:
        return Patience(best_value=value)
    return replace(patience, waited=patience.waited + 1)
