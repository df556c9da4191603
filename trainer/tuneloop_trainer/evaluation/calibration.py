"""Calibration: how far confidence is from the share of right answers, and the one temperature that brings them closer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.evaluation.metrics import log_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.metrics import Floats, Integers
    from tuneloop_trainer.evaluation.predictions import Predictions

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures outside would only say that the validation split is too small to tell."""


def expected_calibration_error(logits: NDArray[Any], labels: Integers, *, temperature: float = 1.0) -> float:
    """Return the mean distance, from 0 to 1, between confidence and accuracy over 15 bins of equal mass.

    logits: [N, C], labels: int64 [N].
    Equal mass, not equal width: the confidences of a fine-tuned model crowd near 1, and the estimate is less biased (Roelofs et al.
    2022, arXiv:2012.08668). Rows of the same confidence share a bin, so that the order of the rows never matters.
    """
    probabilities = np.exp(log_probabilities(logits / temperature))
    confidences: Floats = probabilities.max(axis=1)
    right = logits.argmax(axis=1) == labels
    edges = np.quantile(confidences, np.arange(1, BINS) / BINS, method="inverted_cdf")
    bins = np.searchsorted(edges, confidences, side="left")
    gaps = np.bincount(bins, weights=confidences - right)
    return float(np.abs(gaps).sum() / len(labels))


def class_calibration_error(predictions: Predictions, temperature: float) -> float:
    """Return the expected calibration error of predictions of one class for each target."""
    return expected_calibration_error(predictions.values, predictions.labels, temperature=temperature)


def fit_temperature(logits: NDArray[Any], labels: Integers) -> float:
    """Return the temperature T in [0.05, 20] for which softmax(logits / T) has the least log loss on these rows.

    The log loss is convex in 1 / T; its slope there, the expected logit minus the true logit, changes sign once, and Brent's method finds
    where. Where every row is right there is no minimum (the loss falls for ever as T goes to 0), and the answer is 1.
    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    from scipy.optimize import brentq  # noqa: PLC0415  (no rank needs it before the end)

    scores = logits.astype(np.float64)
    if bool((scores.argmax(axis=1) == labels).all()):
        return 1.0
    true = scores[np.arange(len(labels)), labels].mean()

    def slope(log_scale: float) -> float:
        expected = (np.exp(log_probabilities(scores * np.exp(log_scale))) * scores).sum(axis=1).mean()
        return float(expected - true)

    hottest, coldest = -np.log(HOTTEST), -np.log(COLDEST)
    if slope(hottest) >= 0:
        return HOTTEST
    if slope(coldest) <= 0:
        return COLDEST
    return round(float(np.exp(-brentq(slope, hottest, coldest, xtol=1e-9))), 6)
