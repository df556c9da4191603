"""What simpler means achieve on the test rows: the task's baselines, and the model before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_trainer.evaluation.measure import measured
from tuneloop_trainer.tasks.task import Baseline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tuneloop_api.contract.results import Measured
    from tuneloop_trainer.evaluation.intervals import Bootstrap
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.tasks.task import Task

BEFORE_TRAINING = "before-training"


@dataclass(frozen=True, kw_only=True)
class BaselineComparison:
    """The task's primary metric of each baseline, from the simplest, and the model's gain over the rival baseline."""

    baselines: list[Measured]
    paired: Measured | None = None
    rival_description: str | None = None
    """Name of the rival's variant, where the validation split chose among several."""


def compare_with_baselines(
    dataset: Path,
    *,
    task: Task,
    labels: Sequence[str],
    test: Predictions,
    before: Predictions,
    bootstrap: Bootstrap,
    seed: int,
    beat: Callable[[float], None],
) -> BaselineComparison:
    """Measure the baselines on the rows of `test`; `beat` is called with the fraction done. before: predictions of the untrained model."""
    fitted = task.fit_baselines(dataset, seed=seed, beat=beat)
    rival = next(baseline for baseline in fitted if baseline.name == task.rival)
    untrained = Baseline(name=BEFORE_TRAINING, predicted=task.choose(before.values))
    gain = f"{task.primary_metric}_gain_over_{task.rival.replace('-', '_')}"
    return BaselineComparison(
        baselines=[
            measured(baseline.name, task.score(test, baseline.predicted, labels, bootstrap))
            for baseline in (*fitted, untrained)
        ],
        paired=measured(gain, task.gain(test, rival.predicted, labels, bootstrap)),
        rival_description=rival.description,
    )
