"""From the predictions of both models on a set of rows to its verdict. Pure.

Shapes: N = rows of the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.contract.champion import ComparedSet, ComparedSlice, Estimate
from tuneloop_api.statistics.challenger import (
    LEVEL,
    Rules,
    SetVerdict,
    Verdict,
    improvement,
    non_inferiority,
    sentence,
)
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.evaluation.paired_scores import PairedResult, compare_scores
from tuneloop_trainer.export.champion.rows import RECENT
from tuneloop_trainer.tasks.task import Measure, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_trainer.evaluation.intervals import Bootstrap
    from tuneloop_trainer.evaluation.metrics import Integers
    from tuneloop_trainer.evaluation.paired_scores import PairedScores
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.export.champion.rows import RowSet

_DIGITS = 6
"""Of numbers that depend on the logits to the last bit: another CPU must not give another artifact."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What one of the two says about a set."""

    predictions: Predictions
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How sets are judged."""

    task: Task
    labels: Sequence[str]
    rules: Rules
    bootstrap: Bootstrap
    metric: str
    """In which the models are compared: the task's primary metric, or one of its other measures."""

    @property
    def measure(self) -> Measure:
        """How the models are compared."""
        if self.task.paired is None:
            raise ConfigError(f"evaluation.compareWith: models of {self.task.name} are not compared; leave it out")
        own = Measure(score=self.task.score, paired=self.task.paired)
        return self.task.other_measures.get(self.metric, own)


def compared_metric(task: Task, best_metric: str) -> str:
    """Return in which metric a job compares its model: in that which chooses its checkpoint, where models can be compared in it, else in the task's own."""
    return best_metric if best_metric in task.other_measures else task.primary_metric


def judge_set(
    rows: RowSet, *, challenger: Model, champion: Model, judging: Judging, is_decisive: bool
) -> tuple[ComparedSet, SetVerdict]:
    """Return what was found of a set, and its verdict. is_decisive: the set says whether the challenger is better; else, that it is not inferior."""
    task, rules = judging.task, judging.rules
    whole, *slices = judging.measure.paired(
        challenger.predictions, task.choose(champion.predictions.values), judging.labels
    )
    groups = _several(rows.groups)
    result = compare_scores(whole, groups=groups, bootstrap=judging.bootstrap, level=LEVEL)
    verdict = (improvement if is_decisive else non_inferiority)(result.gain, rules)
    reason = sentence(_noun(len(rows.rows), rows.name), result.gain, verdict, metric=judging.metric, rules=rules)
    compared = [
        _slice(part, groups=groups, judging=judging, level=LEVEL / len(slices), where=rows.name) for part in slices
    ]
    found = ComparedSet(
        **_found(result, rows=len(rows.rows), verdict=verdict, message=reason),
        name=rows.name,
        digest=rows.digest,
        left_out=rows.left_out,
        groups=None if groups is None else len(np.unique(groups)),
        method=result.method,
        champion_interval=_estimate(champion.predictions, challenger.predictions, judging),
        challenger_interval=_estimate(challenger.predictions, challenger.predictions, judging),
        champion_calibration_error=_calibration_error(champion, task),
        challenger_calibration_error=_calibration_error(challenger, task),
        slices=compared,
    )
    # a champion that recent rows have left leans to some classes, and finds more of these than a better model does
    blocking = compared if rows.name != RECENT else []
    worse = tuple(part.name for part in blocking if part.verdict == Verdict.WORSE.value)
    return found, SetVerdict(name=rows.name, verdict=verdict, reason=reason, worse_slices=worse)


def _slice(
    scores: PairedScores, *, groups: Integers | None, judging: Judging, level: float, where: str
) -> ComparedSlice:
    result = compare_scores(scores, groups=groups, bootstrap=judging.bootstrap, level=level)
    rules = judging.rules.of_slices
    verdict = non_inferiority(result.gain, rules)
    noun = f"{_noun(len(scores.rows), where)} of {scores.name}"
    reason = sentence(noun, result.gain, verdict, metric=judging.task.primary_metric, rules=rules)
    found = _found(result, rows=len(scores.rows), verdict=verdict, message=reason)
    return ComparedSlice(**found, name=str(scores.name))


def _found(result: PairedResult, *, rows: int, verdict: Verdict, message: str) -> dict[str, Any]:
    """Return the fields of `GainOnRows`."""
    return {
        "rows": rows,
        "champion": result.champion,
        "challenger": result.challenger,
        "gain": result.gain.value,
        "low": result.gain.low,
        "high": result.gain.high,
        "champion_only": result.champion_only,
        "challenger_only": result.challenger_only,
        "verdict": verdict.value,
        "message": message,
    }


def _several(groups: Integers | None) -> Integers | None:
    """Return the groups, None where every row is a group of its own."""
    return None if groups is None or len(np.unique(groups)) == len(groups) else groups


def _estimate(model: Predictions, truth: Predictions, judging: Judging) -> Estimate:
    found = judging.measure.score(truth, judging.task.choose(model.values), judging.labels, judging.bootstrap)
    return Estimate(value=found.value, low=found.low, high=found.high)


def _calibration_error(model: Model, task: Task) -> float:
    if task.calibration_error is None:
        return 0.0
    return round(task.calibration_error(model.predictions, model.temperature), _DIGITS)


def _noun(rows: int, name: str) -> str:
    return f"{rows:,} {name} row{'s' if rows != 1 else ''}"
