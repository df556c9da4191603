"""What simpler means predict where a text has a number: the mean of the training rows, and ridge regression on TF-IDF of words and word pairs.

The strength is chosen on the validation split alone, from a fixed grid. Features and memory are those of `baselines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import Ridge

from tuneloop_trainer.evaluation.baselines import WordFeatures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneloop_trainer.evaluation.metrics import Floats

STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1)
"""Mildest first: of equally good candidates the mildest is taken."""


@dataclass(frozen=True, kw_only=True)
class TextsWithNumbers:
    """Rows to learn from or to choose on: N texts."""

    texts: Sequence[str]
    numbers: Floats
    """float64 [N]"""


@dataclass(frozen=True, kw_only=True)
class RidgeBaseline:
    """What the chosen model predicts."""

    predictions: Floats
    """Of the test texts, float64 [N]."""
    description: str
    """For example `ridge, alpha = 1`."""


def tfidf_ridge(
    train: TextsWithNumbers,
    validation: TextsWithNumbers,
    test: Sequence[str],
    *,
    seed: int,
    beat: Callable[[float], None],
) -> RidgeBaseline:
    """Fit the candidates on `train`, choose by the squared error on `validation`, predict `test`.

    `beat` is called with the fraction done. A training split without a word predicts its mean.
    """
    features = WordFeatures()
    inputs = features.fit(train.texts)
    if inputs.shape[1] == 0:
        return RidgeBaseline(predictions=np.full(len(test), train.numbers.mean()), description="no words")
    held_out = features.of(validation.texts)
    beat(0.2)
    models = [Ridge(alpha=strength, random_state=seed) for strength in STRENGTHS]
    errors = []
    for number, model in enumerate(models, start=1):
        model.fit(inputs, train.numbers)
        errors.append(float(((model.predict(held_out) - validation.numbers) ** 2).mean()))
        beat(0.2 + 0.8 * number / len(models))
    best = int(np.argmin(errors))
    return RidgeBaseline(
        predictions=models[best].predict(features.of(test)).astype(np.float64),
        description=f"ridge, alpha = {STRENGTHS[best]:g}",
    )
