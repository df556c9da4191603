"""What simpler means achieve on the same rows: the majority class, and a linear model on TF-IDF of words and word pairs.

The linear model is chosen honestly: fitted on the training split, its kind and strength chosen on the validation split alone, from a
fixed grid. Words are runs of letters and digits of any script; where a language writes no spaces, a run is a whole clause and the
baseline is weak.

Memory is bounded whatever the data: n-grams are hashed (no vocabulary), and long texts and very many rows are cut to a budget.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneloop_trainer.evaluation.metrics import Integers


Matrix: TypeAlias = Any
"""scipy.sparse.csr_matrix, float32 [rows, features]"""

MAX_ROWS = 100_000
MAX_CHARACTERS = 120_000_000
"""Of all training rows together: about 1 GiB of features."""
SHORTEST_CUT, LONGEST_CUT = 1_000, 20_000
BUCKETS = 2**22
MAX_FEATURES = 300_000
SVM_STRENGTHS = (0.1, 0.5, 2.0, 8.0)
BAYES_SMOOTHINGS = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Rows to learn from or to choose on: N texts."""

    texts: Sequence[str]
    labels: Integers
    """int64 [N] class ids, or 0 and 1 for each label, [N, C]."""


@dataclass(frozen=True, kw_only=True)
class LinearBaseline:
    """What the chosen linear model predicts."""

    predictions: Integers
    """Of the test texts: class ids, int64 [N], or 0 and 1 for each label, [N, C]."""
    description: str
    """For example `linear SVM, C = 0.5`."""


def majority(train_labels: Integers, *, rows: int) -> Integers:
    """Return the most frequent class of the training split for each of `rows` rows; of equals, the lowest id. Of several labels, those that most rows have."""
    if train_labels.ndim == 2:
        return np.tile((train_labels.mean(axis=0) > 0.5).astype(np.int64), (rows, 1))
    return np.full(rows, np.bincount(train_labels).argmax(), dtype=np.int64)


def sampled(rows: int) -> Integers:
    """Return which training rows are used: all, or 100,000 that are spread evenly."""
    return np.unique(np.linspace(0, rows - 1, min(rows, MAX_ROWS)).astype(np.int64))


def cut_length(rows: int) -> int:
    """Return how many characters of each text are read, so that `rows` texts fit into the budget."""
    return max(SHORTEST_CUT, min(LONGEST_CUT, MAX_CHARACTERS // max(rows, 1)))


def tfidf_linear(
    train: Texts, validation: Texts, test: Sequence[str], *, seed: int, beat: Callable[[float], None]
) -> LinearBaseline:
    """Fit the candidates on `train`, choose on `validation`, predict `test`. Several labels have a model each, and are chosen together by their micro F1.

    `beat` is called with the fraction done. A training split of one class, or without a word, predicts its majority.
    """
    if len(np.unique(train.labels)) < 2:
        return LinearBaseline(predictions=majority(train.labels, rows=len(test)), description="one class")
    features = WordFeatures()
    inputs = features.fit(train.texts)
    if inputs.shape[1] == 0:
        return LinearBaseline(predictions=majority(train.labels, rows=len(test)), description="no words")
    held_out = features.of(validation.texts)
    beat(0.2)
    best_score, best = -1.0, ("", MultinomialNB())
    candidates = _candidates(seed)
    if train.labels.ndim == 2:
        candidates = [(description, OneVsRestClassifier(model)) for description, model in candidates]
    for number, (description, model) in enumerate(candidates, start=1):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
            model.fit(inputs, train.labels)
        score = _score(model.predict(held_out), validation.labels)
        if score > best_score:
            best_score, best = score, (description, model)
        beat(0.2 + 0.8 * number / len(candidates))
    description, model = best
    return LinearBaseline(predictions=model.predict(features.of(test)).astype(np.int64), description=description)


def _score(predicted: Integers, truth: Integers) -> float:
    """Return the accuracy of class ids, [N], or the micro F1 of labels, [N, C]."""
    if truth.ndim == 2:
        return float(2 * (predicted * truth).sum() / max(1, predicted.sum() + truth.sum()))
    return float((predicted == truth).mean())


def _candidates(seed: int) -> list[tuple[str, Any]]:
    """Return the grid, mildest first: of equally good candidates the mildest is taken. Both kinds are linear in the features."""
    machines = [(f"linear SVM, C = {C:g}", LinearSVC(C=C, random_state=seed)) for C in SVM_STRENGTHS]
    bayes = [(f"naive Bayes, alpha = {alpha:g}", MultinomialNB(alpha=alpha)) for alpha in reversed(BAYES_SMOOTHINGS)]
    return [*machines, *bayes]


class WordFeatures:
    """TF-IDF of words and word pairs: sublinear counts, the most frequent features of the training texts, rows of length 1."""

    def __init__(self) -> None:
        self._hashed = HashingVectorizer(
            n_features=BUCKETS,
            ngram_range=(1, 2),
            token_pattern=r"\w+",  # noqa: S106  (a pattern, no password)
            norm=None,
            alternate_sign=False,
            dtype=np.float32,
        )
        self._kept = np.zeros(0, dtype=np.int64)
        self._tfidf = TfidfTransformer(sublinear_tf=True)

    def fit(self, texts: Sequence[str]) -> Matrix:
        """Learn which features to keep and how rare each is; return the features of these texts, [N, 0] if no text has a word."""
        counts = self._hashed.transform(texts)
        frequencies = np.bincount(counts.indices, minlength=BUCKETS)
        frequent = np.argsort(-frequencies, kind="stable")[:MAX_FEATURES]
        self._kept = np.sort(frequent[frequencies[frequent] > 0])
        kept = counts[:, self._kept]
        return self._tfidf.fit_transform(kept) if len(self._kept) else kept

    def of(self, texts: Sequence[str]) -> Matrix:
        """Return the features of texts."""
        return self._tfidf.transform(self._hashed.transform(texts)[:, self._kept])
