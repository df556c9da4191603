"""Metrics of a classifier: from the confusion matrix (accuracy, precision, recall, F1, MCC) and from the logits (log loss, AUROC).

N = rows, C = classes. A confusion matrix is [..., C, C], truth by prediction; leading axes are resamples, so that an interval
costs one call. Values are those of scikit-learn with `zero_division=0`, against which the tests hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How well one class is distinguished from the others; a ratio without a denominator is 0."""

    precision: float
    recall: float
    f1: float
    support: int
    """Rows, or spans, that truly are of this class."""


def confusion_matrix(labels: Integers, predictions: Integers, *, classes: int) -> Integers:
    """Return int64 [C, C], rows by true and predicted class, of labels and predictions int64 [N]."""
    cells = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def accuracy(confusion: NDArray[Any]) -> Floats:
    """Return [...]: the share of rows that are right."""
    right = np.trace(confusion, axis1=-2, axis2=-1)
    return ratio(right, confusion.sum(axis=(-2, -1)))


def macro_f1(confusion: NDArray[Any]) -> Floats:
    """Return [...]: the mean F1 of the classes that occur, in truth or in prediction; others would say nothing."""
    return macro_f1_of(*_margins(confusion))


def macro_f1_of(right: NDArray[Any], predicted: NDArray[Any], true: NDArray[Any]) -> Floats:
    """Return [...], as `macro_f1`, of the right, predicted and true rows by class, each [..., C]."""
    occurs = (predicted + true) > 0
    return ratio(ratio(2 * right, predicted + true).sum(axis=-1), occurs.sum(axis=-1))


def matthews(confusion: NDArray[Any]) -> Floats:
    """Return [...]: Matthews' correlation coefficient, from -1 to 1; 0 where truth or prediction has one class only.

    Source: Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006 (R_K, for any number of classes).
    """
    right, predicted, true = (margin.astype(np.float64) for margin in _margins(confusion))
    rows = confusion.sum(axis=(-2, -1)).astype(np.float64)
    covariance = right.sum(axis=-1) * rows - (predicted * true).sum(axis=-1)
    spread = (rows**2 - (predicted**2).sum(axis=-1)) * (rows**2 - (true**2).sum(axis=-1))
    return ratio(covariance, np.sqrt(spread))


def per_class(confusion: Integers) -> list[ClassScore]:
    """Return the scores of each class, in the order of their ids."""
    return class_scores(*_margins(confusion))


def class_scores(right: NDArray[Any], predicted: NDArray[Any], true: NDArray[Any]) -> list[ClassScore]:
    """Return the scores of each class from its right, predicted and true counts, [C] each."""
    columns = (ratio(right, predicted), ratio(right, true), ratio(2 * right, predicted + true), true)
    return [
        ClassScore(precision=float(precision), recall=float(recall), f1=float(f1), support=int(support))
        for precision, recall, f1, support in zip(*columns, strict=True)
    ]


def log_probabilities(logits: NDArray[Any]) -> Floats:
    """Return float64 [N, C]: the log softmax of logits [N, C], without overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def log_losses(logits: NDArray[Any], labels: Integers) -> Floats:
    """Return float64 [N]: minus the log probability of the true class, in nats; their mean is the log loss."""
    result: Floats = -log_probabilities(logits)[np.arange(len(labels)), labels]
    return result


def class_prior_entropy(labels: Integers) -> float:
    """Return the cross-entropy, in nats, of a model that knows how often each class occurs and nothing else.

    labels: int64 [N], class ids. It is the entropy of the classes' shares: ln C for C equally frequent classes.
    """
    return entropy_of_counts(np.bincount(labels))


def entropy_of_counts(counts: Integers) -> float:
    """Return the entropy, in nats, of the shares of classes that occur so often, [C]."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def auroc(scores: NDArray[Any], labels: Integers, weights: NDArray[Any] | None = None) -> Floats:
    """Return [...]: the chance that a row of class 1 scores above a row of class 0, ties counting half.

    scores: [N]; labels: 0 or 1, [N]; weights: [..., N], how often each row counts (default: once). NaN where one of the classes is absent.
    Source: Mann-Whitney; Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    counts = np.ones(len(labels)) if weights is None else weights[..., order].astype(np.float64)
    positive = labels[order] == 1
    ones = np.add.reduceat(np.where(positive, counts, 0.0), starts, axis=-1)
    zeros = np.add.reduceat(np.where(positive, 0.0, counts), starts, axis=-1)
    below = np.cumsum(zeros, axis=-1) - zeros
    pairs = ones.sum(axis=-1) * zeros.sum(axis=-1)
    wins = (ones * (below + zeros / 2)).sum(axis=-1)
    return np.divide(wins, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)


def average_precision(scores: NDArray[Any], labels: Integers) -> float:
    """Return the mean precision at each row of class 1, in the order of the scores; rows of one score are one step. NaN where no row is of class 1.

    scores: [N]; labels: 0 or 1, [N].
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(scores[order]) != 0), len(order) - 1]
    right = np.cumsum(labels[order])[ends]
    gained = np.diff(right, prepend=0)
    return float((gained * right / (ends + 1)).sum() / right[-1]) if right[-1] else float("nan")


def _margins(confusion: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return right, predicted and true rows by class, each [..., C]."""
    return np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-2), confusion.sum(axis=-1)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Return part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part), dtype=np.float64), where=whole > 0)
