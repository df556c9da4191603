from __future__ import annotations

import numpy as np
import pytest

from tuneloop_trainer.evaluation.intervals import CHUNK, Bootstrap, Interval
from tuneloop_trainer.evaluation.metrics import accuracy, confusion_matrix, macro_f1


def predictions(rows: int, right: float, *, classes: int = 2, seed: int = 0):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, rows)
    wrong = (truth + generator.integers(1, classes, rows)) % classes
    return truth, np.where(generator.random(rows) < right, truth, wrong)


def test_counts_drawn_are_the_bootstrap_of_the_rows():
    truth, predicted = predictions(300, 0.8, classes=4)
    drawn = Bootstrap(resamples=20_000).of_confusion(confusion_matrix(truth, predicted, classes=4), macro_f1)
    generator = np.random.default_rng(1)
    by_rows = []
    for _ in range(4000):
        rows = generator.integers(0, 300, 300)
        by_rows.append(macro_f1(confusion_matrix(truth[rows], predicted[rows], classes=4)))
    assert (drawn.low, drawn.high) == pytest.approx(tuple(np.percentile(by_rows, (2.5, 97.5))), abs=0.004)


def test_the_interval_of_an_accuracy_is_near_the_binomial_one():
    truth, predicted = predictions(1000, 0.8)
    found = Bootstrap(resamples=2000).of_confusion(confusion_matrix(truth, predicted, classes=2), accuracy)
    spread = 1.96 * np.sqrt(found.value * (1 - found.value) / 1000)
    assert (found.low, found.high) == pytest.approx((found.value - spread, found.value + spread), abs=0.003)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=500)
    assert Bootstrap(resamples=500, seed=1).of_mean(values) == Bootstrap(resamples=500, seed=1).of_mean(values)
    assert Bootstrap(resamples=500, seed=1).of_mean(values) != Bootstrap(resamples=500, seed=2).of_mean(values)


def test_pieces_of_rows_change_nothing(monkeypatch):
    values = np.random.default_rng(0).normal(size=500)
    whole = Bootstrap(resamples=1001).of_mean(values)
    monkeypatch.setattr("tuneloop_trainer.evaluation.intervals.CHUNK", 1200)
    assert Bootstrap(resamples=1001).of_mean(values) == whole


def test_an_interval_leaves_out_a_fortieth_at_each_end():
    values = np.random.default_rng(0).normal(size=400)
    found = Bootstrap(resamples=20_000).of_mean(values)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.015)


def test_sums_drawn_are_the_bootstrap_of_the_rows():
    generator = np.random.default_rng(4)
    sums = np.stack([generator.integers(0, 4, 300), generator.integers(4, 9, 300)], axis=1)
    found = Bootstrap(resamples=20_000).of_sums(sums, lambda both: both[..., 0] / both[..., 1])
    drawn = [sums[generator.integers(0, 300, 300)].sum(axis=0) for _ in range(4000)]
    ratios = [first / second for first, second in drawn]
    assert found.value == pytest.approx(sums[:, 0].sum() / sums[:, 1].sum())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(ratios, (2.5, 97.5))), abs=0.003)


def test_many_classes_are_drawn_in_pieces_that_fit_into_memory():
    truth, predicted = predictions(500, 0.8, classes=1000)
    confusion = confusion_matrix(truth, predicted, classes=1000)
    largest = 0

    def watched(counts):
        nonlocal largest
        largest = max(largest, counts.size)
        return accuracy(counts)

    found = Bootstrap(resamples=100).of_confusion(confusion, watched)
    assert largest <= CHUNK
    assert found.low < found.value < found.high


def test_pieces_change_nothing(monkeypatch):
    truth, predicted = predictions(300, 0.8, classes=4)
    confusion = confusion_matrix(truth, predicted, classes=4)
    whole = Bootstrap(resamples=101).of_confusion(confusion, macro_f1)
    monkeypatch.setattr("tuneloop_trainer.evaluation.intervals.CHUNK", 160)
    assert Bootstrap(resamples=101).of_confusion(confusion, macro_f1) == whole


def test_rows_that_all_agree_have_an_interval_without_width():
    confusion = np.array([[5, 0], [0, 5]])
    assert Bootstrap(resamples=2000).of_confusion(confusion, accuracy) == Interval(value=1.0, low=1.0, high=1.0)


def test_a_value_without_any_resample_that_has_one_has_no_interval():
    only_in_all_rows = lambda sums: np.where(np.ndim(sums) == 1, 0.25, np.nan) * np.ones(np.shape(sums)[:-1])  # noqa: E731
    assert Bootstrap(resamples=20).of_sums(np.ones((4, 1)), only_in_all_rows) == Interval(
        value=0.25, low=None, high=None
    )


def test_resamples_with_one_class_only_are_left_out_of_the_auroc():
    labels = np.zeros(50, dtype=np.int64)
    labels[3] = 1
    found = Bootstrap(resamples=2000).of_auroc(np.arange(50.0), labels)
    assert found.value == pytest.approx(3 / 49)
    assert found.low <= found.value <= found.high


def test_the_gain_is_paired_so_that_what_both_get_right_cancels():
    generator = np.random.default_rng(0)
    other = generator.random(1000) < 0.7
    model = other | (generator.random(1000) < 0.05)
    found = Bootstrap(resamples=2000).of_accuracy_difference(model, other)
    assert found.value == pytest.approx(model.mean() - other.mean())
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < 0.02  # unpaired it would be 0.08


def test_the_paired_interval_covers_the_true_gain_in_95_of_100_samples():
    generator = np.random.default_rng(11)
    both, model_only, other_only = 0.70, 0.12, 0.08
    covered = 0
    for number in range(600):
        kind = generator.random(200)
        model = kind < both + model_only
        other = (kind < both) | ((kind >= both + model_only) & (kind < both + model_only + other_only))
        found = Bootstrap(resamples=600, seed=number).of_accuracy_difference(model, other)
        covered += found.low <= model_only - other_only <= found.high
    assert 0.92 <= covered / 600 <= 0.975
