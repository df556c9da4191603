"""Calibration: how far confidence is from the share of right answers, and the one temperature that brings them closer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.evaluation.metrics import log_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.metrics import Floats, Integers

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures outside would only say that the validation split is too small to tell."""
HALVINGS = 40


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


def fit_temperature(logits: NDArray[Any], labels: Integers) -> float:
    """Return the temperature T in [0.05, 20] for which softmax(logits / T) has the least log loss on these rows.

    The log loss is convex in 1 / T; its slope there, the expected logit minus the true logit, changes sign once, and bisection finds
    where. Where every row is right there is no minimum (the loss falls for ever as T goes to 0), and the answer is 1.
    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    scores = logits.astype(np.float64)
    if bool((scores.argmax(axis=1) == labels).all()):
        return 1.0
    true = scores[np.arange(len(labels)), labels].mean()
    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = (np.exp(log_probabilities(scores * np.exp(middle))) * scores).sum(axis=1).mean()
        low, high = (low, middle) if expected > true else (middle, high)
    return round(float(np.exp(-low)), 6)
