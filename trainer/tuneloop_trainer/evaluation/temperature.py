"""The temperature that is published with a model: a fitted one where it is shown to help on rows that it was not fitted on, else 1.

A fit on the validation split lowers the log loss of these very rows, always. Whether it lowers that of other rows is asked of the split itself:
each fold is measured with the temperature that the other folds give (cross-fitting; Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x). The
gain must be larger than its standard error (Breiman et al. 1984, the one-standard-error rule). So of models that are calibrated already, 1 in
100 gets a fitted temperature; with the gain alone it would be 1 in 6.

Shapes: N = rows, M = targets, C = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.evaluation.calibration import fit_temperature
from tuneloop_trainer.evaluation.metrics import log_losses

if TYPE_CHECKING:
    from tuneloop_trainer.evaluation.metrics import Floats, Integers
    from tuneloop_trainer.evaluation.predictions import Predictions

FOLDS = 5
FEWEST_ROWS = 30
"""With fewer rows the standard error itself is a guess."""


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """The temperature that is published, and why."""

    value: float
    reason: str
    """One sentence for the log and the model card."""


def chosen_temperature(validation: Predictions) -> Temperature:
    """Return the temperature fitted on the validation split if it lowers the log loss on held-out folds of that split, else 1.

    The same predictions give the same answer. All targets of a row are in one fold: words of one sentence are not independent.
    """
    rows = int(np.count_nonzero(np.diff(validation.offsets)))
    if rows < FEWEST_ROWS:
        return Temperature(
            value=1.0,
            reason=f"No temperature was fitted: {rows} validation rows are too few, {FEWEST_ROWS} are needed.",
        )
    before = log_losses(validation.values, validation.labels)
    after = _held_out_losses(validation)
    gain, error = _mean_by_row(before - after, validation)
    shown = f"from {before.mean():.4f} to {after.mean():.4f} on held-out folds of the validation split"
    if gain <= error:
        lowers = "by less than chance may" if gain > 0 else "not at all"
        return Temperature(
            value=1.0,
            reason=f"The temperature is 1: a fitted one lowers the log loss {lowers} ({shown}, standard error {error:.4f}).",
        )
    value = fit_temperature(validation.values, validation.labels)
    return Temperature(value=value, reason=f"The fitted temperature lowers the log loss {shown}.")


def _held_out_losses(validation: Predictions) -> Floats:
    """Return float64 [M]: the log loss of each target with the temperature that the other folds give."""
    fold = _folds(validation)[validation.row_of_target]
    losses: Floats = np.zeros(len(validation.labels))
    for number in range(FOLDS):
        held_out = fold == number
        temperature = fit_temperature(validation.values[~held_out], validation.labels[~held_out])
        losses[held_out] = log_losses(validation.values[held_out] / temperature, validation.labels[held_out])
    return losses


def _folds(validation: Predictions) -> Integers:
    """Return int64 [N], the fold of each row: rows are dealt in turn, by the class of their first target, so that each fold has its share of every class."""
    starts, there = validation.offsets[:-1], np.diff(validation.offsets) > 0
    first = np.full(len(starts), -1, dtype=np.int64)
    first[there] = validation.labels[starts[there]]
    folds = np.empty(len(starts), dtype=np.int64)
    folds[np.argsort(first, kind="stable")] = np.arange(len(starts)) % FOLDS
    return folds


def _mean_by_row(gains: Floats, validation: Predictions) -> tuple[float, float]:
    """Return the mean of the gains of targets, [M], and its standard error, for which rows are independent and targets of a row are not."""
    mean = float(gains.mean())
    rows = len(validation.rows)
    deviations = np.bincount(validation.row_of_target, weights=gains - mean, minlength=rows)
    return mean, float(np.sqrt(np.square(deviations).sum() * rows / (rows - 1)) / len(gains))
