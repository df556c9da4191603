"""Evaluation of predicted numbers: errors in the user's unit, the share of the variance that is explained, and correlations.

Values are those of scikit-learn and scipy, against which the tests hold them.

Shapes: N = rows; a row is one target. Sums are [..., 8], see `_sums`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.evaluation.measure import Evaluation, measured
from tuneloop_trainer.evaluation.target_scale import standardised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_api.contract.artifact import TargetScale
    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.metrics import Floats
    from tuneloop_trainer.evaluation.predictions import Predictions

_ROUNDING = 1e-12
"""A variance that is a smaller part of the mean square is the rounding of a sum of equal numbers."""


def predicted_numbers(values: NDArray[Any]) -> Floats:
    """Return float64 [N], the numbers that a model predicts, of its outputs [N, 1]."""
    return values[:, 0].astype(np.float64)


def rmse(sums: NDArray[Any]) -> Floats:
    """Return [...]: the root of the mean squared error."""
    return np.sqrt(sums[..., 5] / sums[..., 0])


def mae(sums: NDArray[Any]) -> Floats:
    """Return [...]: the mean absolute error."""
    result: Floats = sums[..., 6] / sums[..., 0]
    return result


def r2(sums: NDArray[Any]) -> Floats:
    """Return [...]: the share of the variance that is explained; 0 where all true numbers are equal."""
    return np.nan_to_num(1 - _share(sums[..., 5] / sums[..., 0], _variance(sums, 1)))


def pearson(sums: NDArray[Any]) -> Floats:
    """Return [...]: Pearson's correlation of true and predicted numbers; NaN where one of them has no variance."""
    rows = sums[..., 0]
    covariance = sums[..., 7] / rows - sums[..., 1] / rows * sums[..., 3] / rows
    return _share(covariance, np.sqrt(_variance(sums, 1) * _variance(sums, 3)))


def spearman(truth: NDArray[Any], predicted: NDArray[Any]) -> Floats:
    """Return [...]: Pearson's correlation of the ranks of numbers [..., N], equal numbers sharing a rank; NaN where one side has one rank alone."""
    from scipy.stats import rankdata  # noqa: PLC0415  (no rank of a gang needs it at its start)

    first, second = (rankdata(values, axis=-1) for values in (truth, predicted))
    first, second = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (first, second))
    return _share((first * second).sum(axis=-1), np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1)))


def number_metrics(predictions: Predictions, scale: TargetScale) -> dict[str, float]:
    """Return loss (mean squared error of standardised numbers), rmse, mae, r2, pearson and spearman; a correlation that is not defined is 0."""
    truth, predicted = predictions.labels, predicted_numbers(predictions.values)
    sums = _sums(truth, predicted).sum(axis=0)
    found = {
        "loss": float(((standardised(truth, scale) - standardised(predicted, scale)) ** 2).mean()),
        "rmse": float(rmse(sums)),
        "mae": float(mae(sums)),
        "r2": float(r2(sums)),
        "pearson": float(pearson(sums)),
        "spearman": float(spearman(truth, predicted)),
    }
    return {name: 0.0 if np.isnan(value) else value for name, value in found.items() if name != "loss"} | {
        "loss": found["loss"]
    }


def evaluate_numbers(
    *, validation: Predictions, test: Predictions, labels: Sequence[str], bootstrap: Bootstrap
) -> Evaluation:
    """Return every number of the model. There is no confidence to calibrate; correlations that the test rows do not define are left out."""
    del validation, labels
    truth, predicted = test.labels, predicted_numbers(test.values)
    by_row = _sums(truth, predicted)
    found = {
        name: bootstrap.of_sums(by_row, statistic)
        for name, statistic in (("rmse", rmse), ("mae", mae), ("r2", r2), ("pearson", pearson))
    }
    found["spearman"] = bootstrap.of_rows(len(truth), lambda rows: spearman(truth[rows], predicted[rows]))
    return Evaluation(
        metrics=[measured(name, interval) for name, interval in found.items() if not np.isnan(interval.value)],
        confusion=None,
        classes={},
        temperature=1.0,
        calibration="A number has no confidence: there is nothing to calibrate.",
    )


def number_r2(test: Predictions, predicted: Floats, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the R² of predicted numbers, [N], on the rows of `test`."""
    return bootstrap.of_sums(_sums(test.labels, predicted), r2)


def number_r2_gain(test: Predictions, baseline: Floats, _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the model's R² minus that of a baseline's numbers, [N], on the same rows, with a paired interval."""
    both = [_sums(test.labels, predicted) for predicted in (predicted_numbers(test.values), baseline)]
    width = both[0].shape[1]
    return bootstrap.of_sums(np.concatenate(both, axis=1), lambda sums: r2(sums[..., :width]) - r2(sums[..., width:]))


def _sums(truth: Floats, predicted: Floats) -> Floats:
    """Return float64 [N, 8], what each row adds: 1, y, y², p, p², squared error, absolute error, y p. y and p are without the mean of y, which no metric sees."""
    number, answer = truth - truth.mean(), predicted - truth.mean()
    errors = predicted - truth
    return np.stack(
        [np.ones_like(number), number, number**2, answer, answer**2, errors**2, np.abs(errors), number * answer], axis=1
    )


def _variance(sums: NDArray[Any], first: int) -> Floats:
    """Return [...]: the variance of the number whose sum is in column `first` and whose squares are in the next; 0 where rounding alone is left."""
    rows = sums[..., 0]
    squares = sums[..., first + 1] / rows
    variance = squares - (sums[..., first] / rows) ** 2
    return np.where(variance > _ROUNDING * squares, variance, 0.0)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Return part / whole, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
