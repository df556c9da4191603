"""Metrics of numbers are those of scikit-learn and scipy, for any numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from sklearn.linear_model import Ridge

from tuneloop_api.contract.artifact import TargetScale
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.evaluation.baselines import WordFeatures
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.number_baselines import STRENGTHS, TextsWithNumbers, tfidf_ridge
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.evaluation.regression import evaluate_numbers, number_metrics, number_r2, number_r2_gain
from tuneloop_trainer.evaluation.target_scale import scale_of, standardised

BOOTSTRAP = Bootstrap(resamples=200)


def predictions(truth: list[float], predicted: list[float]) -> Predictions:
    count = len(truth)
    return Predictions(
        values=np.array(predicted, dtype=np.float32)[:, None],
        labels=np.array(truth, dtype=np.float64),
        rows=np.arange(count),
        offsets=np.arange(count + 1),
    )


def noisy(count: int, *, seed: int, offset: float = 0.0) -> Predictions:
    generator = np.random.default_rng(seed)
    truth = np.round(generator.normal(size=count), 1) * 3 + offset  # with ties
    return predictions(truth.tolist(), (truth + generator.normal(size=count)).tolist())


@given(count=st.integers(3, 60), seed=st.integers(0, 2**31), offset=st.sampled_from([0.0, -50.0, 1000.0]))
def test_the_metrics_are_those_of_the_field(count, seed, offset):
    found = noisy(count, seed=seed, offset=offset)
    truth, predicted = found.labels, found.values[:, 0].astype(float)
    if truth.min() == truth.max():
        return
    scale = TargetScale(mean=truth.mean(), std=truth.std())
    assert number_metrics(found, scale) == pytest.approx(
        {
            "loss": sklearn.mean_squared_error(truth, predicted) / truth.std() ** 2,
            "rmse": sklearn.root_mean_squared_error(truth, predicted),
            "mae": sklearn.mean_absolute_error(truth, predicted),
            "r2": sklearn.r2_score(truth, predicted),
            "pearson": scipy.stats.pearsonr(truth, predicted).statistic,
            "spearman": scipy.stats.spearmanr(truth, predicted).statistic,
        },
        rel=1e-6,
        abs=1e-9,
    )


def test_a_model_that_says_one_number_has_no_correlation():
    found = number_metrics(predictions([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]), TargetScale(mean=0.0, std=1.0))
    assert (found["pearson"], found["spearman"]) == (0.0, 0.0)
    names = {metric.name for metric in evaluated(predictions([1.0, 2.0, 4.0], [2.0, 2.0, 2.0])).metrics}
    assert names == {"rmse", "mae", "r2"}


def test_equal_numbers_leave_no_variance_to_explain():
    found = number_metrics(predictions([2.0, 2.0], [2.5, 1.0]), TargetScale(mean=0.0, std=1.0))
    assert found["r2"] == 0.0


def evaluated(test: Predictions):
    return evaluate_numbers(validation=test, test=test, labels=["LABEL_0"], bootstrap=BOOTSTRAP)


def test_every_metric_lies_in_its_interval_and_more_rows_make_it_narrower():
    few, many = (evaluated(noisy(count, seed=1)) for count in (40, 2000))
    widths = []
    for found in (few, many):
        assert [metric.name for metric in found.metrics] == ["rmse", "mae", "r2", "pearson", "spearman"]
        assert all(metric.low < metric.value < metric.high for metric in found.metrics)
        widths.append([metric.high - metric.low for metric in found.metrics])
    assert (np.array(widths[1]) < np.array(widths[0]) / 3).all()


def test_the_mean_of_the_test_rows_explains_nothing_and_the_gain_is_paired():
    test = noisy(500, seed=2)
    mean = np.full(500, test.labels.mean())
    assert number_r2(test, mean, ["LABEL_0"], BOOTSTRAP).value == pytest.approx(0.0, abs=1e-12)
    gain = number_r2_gain(test, mean, ["LABEL_0"], BOOTSTRAP)
    assert gain.value == pytest.approx(sklearn.r2_score(test.labels, test.values[:, 0]))
    assert 0 < gain.low < gain.value
    itself = number_r2_gain(test, test.values[:, 0].astype(float), ["LABEL_0"], BOOTSTRAP)
    assert (itself.value, itself.low, itself.high) == (0.0, 0.0, 0.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30).filter(lambda values: np.std(values) > 1e4))
def test_standardised_numbers_of_the_training_rows_have_mean_0_and_standard_deviation_1(values):
    numbers = np.array(values)
    found = standardised(numbers, scale_of(numbers))
    assert (found.mean(), found.std()) == pytest.approx((0.0, 1.0), abs=1e-9)


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        ([2.0, 2.0, 2.0], "all rows of the train split have the number 2"),
        ([1001.0, 1003.0], "mean may be at most 500 times"),
        ([-1001.0, -1003.0], "mean may be at most 500 times"),
    ],
)
def test_numbers_that_no_model_could_learn_or_answer_are_refused(numbers, wrong):
    with pytest.raises(DataError, match=wrong):
        scale_of(np.array(numbers))


def test_a_mean_just_near_enough_is_taken():
    assert scale_of(np.array([499.0, 501.0])) == TargetScale(mean=500.0, std=1.0)


def test_ridge_regression_finds_what_words_say_and_its_strength_is_chosen_on_validation_rows():
    texts = [f"{'good ' * (number % 4)}film {number}" for number in range(80)]
    numbers = np.array([float(number % 4) for number in range(80)])
    train, held_out = (
        TextsWithNumbers(texts=texts[rows], numbers=numbers[rows]) for rows in (slice(0, 60), slice(60, 70))
    )
    beats: list[float] = []
    found = tfidf_ridge(train, held_out, texts[70:], seed=0, beat=beats.append)
    assert sklearn.r2_score(numbers[70:], found.predictions) > 0.4
    features = WordFeatures()
    inputs = features.fit(train.texts)
    errors = {
        strength: np.square(
            Ridge(alpha=strength).fit(inputs, train.numbers).predict(features.of(held_out.texts)) - held_out.numbers
        ).mean()
        for strength in STRENGTHS
    }
    assert found.description == f"ridge, alpha = {min(errors, key=errors.__getitem__):g}"
    assert beats == sorted(beats)
    assert math.isclose(beats[-1], 1.0)


def test_texts_without_a_word_get_the_mean():
    train = TextsWithNumbers(texts=["!", "?"], numbers=np.array([1.0, 4.0]))
    found = tfidf_ridge(train, train, ["…"], seed=0, beat=lambda _: None)
    assert (found.predictions.tolist(), found.description) == ([2.5], "no words")
