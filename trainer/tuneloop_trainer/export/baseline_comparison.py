"""The ladder below the model: majority class, TF-IDF + linear, the model before training, all on the same test rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_trainer.dataset.shards import open_split, read_texts
from tuneloop_trainer.evaluation.baselines import Texts, cut_length, majority, sampled, tfidf_linear
from tuneloop_trainer.evaluation.measure import gain, rung

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneloop_api.contract.results import Measured
    from tuneloop_trainer.evaluation.intervals import Bootstrap
    from tuneloop_trainer.evaluation.metrics import Integers
    from tuneloop_trainer.evaluation.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Accuracy of each rung, from the simplest, and the model's gain over TF-IDF."""

    baselines: list[Measured]
    paired: Measured | None = None
    baseline_model: str | None = None
    """Which TF-IDF model the validation split chose."""


def build_ladder(
    dataset: Path,
    *,
    test: Predictions,
    before: Predictions,
    bootstrap: Bootstrap,
    seed: int,
    beat: Callable[[float], None],
) -> Ladder:
    """Measure the simpler means on the rows of `test`; `beat` is called with the fraction done."""
    train_labels = open_split(dataset, "train").labels
    chosen = sampled(len(train_labels))
    cut = cut_length(len(chosen))
    train = Texts(texts=_texts(dataset, "train", cut=cut, chosen=chosen), labels=train_labels[chosen])
    validation = Texts(texts=_texts(dataset, "validation", cut=cut), labels=open_split(dataset, "validation").labels)
    linear = tfidf_linear(train, validation, _texts(dataset, "test", cut=cut), seed=seed, beat=beat)
    rungs = {
        "majority": majority(train_labels, rows=len(test.labels)),
        "tfidf-linear": linear.predictions,
        "before-training": before.logits.argmax(axis=1),
    }
    return Ladder(
        baselines=[rung(name, found, test.labels, bootstrap=bootstrap) for name, found in rungs.items()],
        paired=gain(test, linear.predictions, bootstrap=bootstrap),
        baseline_model=linear.description,
    )


def _texts(dataset: Path, split: str, *, cut: int, chosen: Integers | None = None) -> list[str]:
    wanted = None if chosen is None else set(chosen.tolist())
    found = enumerate(read_texts(dataset, split))
    return [text[:cut] for index, (_, text, _) in found if wanted is None or index in wanted]
