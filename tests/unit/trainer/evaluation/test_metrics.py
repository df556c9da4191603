from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from tuneloop_trainer.evaluation.metrics import (
    accuracy,
    auroc,
    class_prior_entropy,
    confusion_matrix,
    log_losses,
    macro_f1,
    matthews,
    per_class,
)


@st.composite
def classified(draw):
    """(truth, prediction, classes), often with classes that never occur."""
    classes = draw(st.integers(2, 20))
    kinds = st.integers(0, classes - 1)
    pairs = draw(st.lists(st.tuples(kinds, kinds), min_size=1, max_size=60))
    truth, predicted = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    return truth, predicted, classes


@settings(max_examples=40)
@given(classified())
def test_accuracy_f1_and_mcc_are_those_of_scikit_learn(rows):
    truth, predicted, classes = rows
    confusion = confusion_matrix(truth, predicted, classes=classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of single classes
        f1 = sklearn_metrics.f1_score(truth, predicted, average="macro", zero_division=0)
        mcc = sklearn_metrics.matthews_corrcoef(truth, predicted)
    found = [float(accuracy(confusion)), float(macro_f1(confusion)), float(matthews(confusion))]
    assert found == pytest.approx([sklearn_metrics.accuracy_score(truth, predicted), f1, mcc], abs=1e-12)


@settings(max_examples=40)
@given(classified())
def test_scores_of_each_class_are_those_of_scikit_learn(rows):
    truth, predicted, classes = rows
    found = per_class(confusion_matrix(truth, predicted, classes=classes))
    expected = sklearn_metrics.precision_recall_fscore_support(truth, predicted, labels=range(classes), zero_division=0)
    columns = zip(*((score.precision, score.recall, score.f1, score.support) for score in found), strict=True)
    for column, known in zip(columns, expected, strict=True):
        np.testing.assert_allclose(column, known, atol=1e-12)


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 4.0]))
def test_log_loss_is_that_of_scikit_learn(classes, rows, seed, scale):
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(rows, classes)) * scale).astype(np.float32)
    labels = generator.integers(0, classes, rows)
    probabilities = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = sklearn_metrics.log_loss(labels, probabilities, labels=range(classes))
    assert log_losses(logits, labels).mean() == pytest.approx(expected, abs=1e-6, rel=1e-6)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 1), st.integers(1, 3)), min_size=2, max_size=60))
def test_auroc_with_ties_and_weights_is_that_of_scikit_learn(rows):
    scores, labels, weights = (np.array(column) for column in zip(*rows, strict=True))
    found = auroc(scores, labels, weights[None, :])[0]
    if len(set(labels)) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)


def test_many_confusion_matrices_are_measured_at_once():
    stack = np.random.default_rng(0).integers(0, 9, size=(7, 4, 4))
    for metric in (accuracy, macro_f1, matthews):
        np.testing.assert_allclose(metric(stack), [metric(matrix) for matrix in stack])


def test_logits_of_any_size_neither_overflow_nor_vanish():
    losses = log_losses(np.array([[1e30, -1e30], [5e4, 5e4]], dtype=np.float32), np.array([0, 1]))
    assert losses == pytest.approx([0.0, np.log(2)])


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        pytest.param([0, 1, 0, 1], [0, 0, 0, 0], (0.5, 1 / 3, 0.0), id="one class predicted"),
        pytest.param([0, 0, 0], [0, 0, 0], (1.0, 1.0, 0.0), id="one class in all"),
        pytest.param([0, 1], [1, 0], (0.0, 0.0, -1.0), id="all wrong"),
        pytest.param([0, 1, 1], [0, 1, 1], (1.0, 1.0, 1.0), id="a third class that never occurs"),
    ],
)
def test_degenerate_rows_have_defined_values(truth, predicted, expected):
    confusion = confusion_matrix(np.array(truth), np.array(predicted), classes=3)
    found = (float(accuracy(confusion)), float(macro_f1(confusion)), float(matthews(confusion)))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "loss"),
    [
        pytest.param([0, 1, 0, 1], math.log(2), id="two equal classes"),
        pytest.param([0, 2], math.log(2), id="a class without rows"),
        pytest.param([1, 1], 0.0, id="one class"),
        pytest.param([0] * 9 + [1], 0.325083, id="nine to one"),
    ],
)
def test_what_guessing_costs(labels, loss):
    assert class_prior_entropy(np.array(labels)) == pytest.approx(loss, abs=1e-6)
