"""Asks Optuna for the values of the next trial, and whether a trial is to end early. Rank 0 alone has a study.

Nothing of Optuna is stored. A study is built anew from the trials on record, and each trial is drawn with a seed of its own, so that a
restart asks for the same values, whatever it was killed at.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState as OptunaState

from tuneloop_api.v1alpha1.fine_tune_job.search_points import applies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tuneloop_api.contract.search import DimensionSettings, Parameters, SearchSettings, Trial

_TYPE = "method.type"
_REDUCTION = 4
_FEWEST_FOR_IMPORTANCE = 5
"""Complete trials. A forest of fewer says little."""
_STATES = {"Complete": OptunaState.COMPLETE, "Pruned": OptunaState.PRUNED}


class Study:
    """The trials so far as Optuna knows them.

    method: `method.type` of trials that do not draw it. trials: those on record; the last may be running. seed: of all draws.
    """

    def __init__(
        self, settings: SearchSettings, *, method: str, rises: bool, seed: int, trials: Iterable[Trial] = ()
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._settings, self._method, self._seed = settings, method, seed
        self._study = optuna.create_study(
            direction="maximize" if rises else "minimize", pruner=_pruner(settings), sampler=_sampler(settings, seed)
        )
        self._number = 0
        self._evaluations = 0
        self._running: optuna.Trial | None = None
        for trial in trials:
            self._replay(trial)

    def ask(self) -> Parameters:
        """Return the values of the next trial, which runs from here on."""
        self._number += 1
        if self._settings.sampler == "grid":
            return self._begin(grid(self._settings.space, method=self._method)[self._number - 1])
        self._study.sampler = _sampler(self._settings, self._seed + self._number)
        return self._begin(None)

    def prunes(self, value: float) -> bool:
        """Take the next evaluation of the running trial; return whether the trial is to end here."""
        self._evaluations += 1
        running = self._of_running()
        running.report(value, step=self._evaluations)
        return running.should_prune()

    def tell(self, trial: Trial) -> None:
        """Take the end of the running trial."""
        state = _STATES.get(trial.state, OptunaState.FAIL)
        self._study.tell(self._of_running(), trial.value if state is OptunaState.COMPLETE else None, state=state)
        self._running = None

    def importance(self) -> dict[str, float] | None:
        """Return the part of the differences between complete trials that each field explains (fANOVA), by path; None if they are too few, or all alike."""
        complete = self._study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        if len(complete) < _FEWEST_FOR_IMPORTANCE or len({trial.value for trial in complete}) == 1:
            return None
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._seed)
        found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {path: float(part) for path, part in found.items() if math.isfinite(part)} or None

    def _begin(self, fixed: Parameters | None) -> Parameters:
        """Start a trial with these values, or with values that Optuna draws; return them in the order of the space."""
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        self._running, self._evaluations = self._study.ask(), 0
        ordered = sorted(self._settings.space, key=lambda dimension: dimension.path != _TYPE)
        drawn: Parameters = {}
        for dimension in ordered:
            if applies(dimension.path, str(drawn.get(_TYPE, self._method))):
                drawn[dimension.path] = _suggest(self._running, dimension)
        return {dimension.path: drawn[dimension.path] for dimension in self._settings.space if dimension.path in drawn}

    def _replay(self, trial: Trial) -> None:
        self._number += 1
        self._begin(trial.parameters)
        for evaluated in trial.evaluations:
            self.prunes(evaluated.value)
        if trial.state != "Running":
            self.tell(trial)

    def _of_running(self) -> optuna.Trial:
        assert self._running is not None, "a trial was asked for"
        return self._running


def grid(space: Sequence[DimensionSettings], *, method: str) -> list[Parameters]:
    """Return all combinations of values, in the order of the manifest; a field that does not apply to a method is left out.

    method: `method.type` where it is no dimension.
    """
    points: list[Parameters] = []
    for values in product(*(dimension.choices for dimension in space)):
        point = dict(zip((dimension.path for dimension in space), values, strict=True))
        kept = {path: value for path, value in point.items() if applies(path, str(point.get(_TYPE, method)))}
        if kept not in points:
            points.append(kept)
    return points


def planned_trials(settings: SearchSettings, *, method: str) -> int:
    """Return the number of trials of a search."""
    return len(grid(settings.space, method=method)) if settings.sampler == "grid" else settings.trials


def _suggest(trial: optuna.Trial, dimension: DimensionSettings) -> Any:
    path, low, high = dimension.path, dimension.low, dimension.high
    if low is None or high is None:
        return trial.suggest_categorical(path, dimension.choices)
    if dimension.type == "int":
        return trial.suggest_int(path, math.ceil(low), math.floor(high))
    return trial.suggest_float(path, low, high, log=dimension.type == "log-float")


def _sampler(settings: SearchSettings, seed: int) -> optuna.samplers.BaseSampler:
    if settings.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(settings: SearchSettings) -> optuna.pruners.BasePruner:
    """Return the pruner. The unit of its steps is an evaluation."""
    if settings.pruner == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=_REDUCTION)
    return optuna.pruners.MedianPruner() if settings.pruner == "median" else optuna.pruners.NopPruner()
