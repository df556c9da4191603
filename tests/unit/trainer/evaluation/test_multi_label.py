"""Numbers of rows with several labels: those of scikit-learn, with intervals over rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sklearn

from tuneloop_api.contract.results import Measured
from tuneloop_api.statistics.challenger import LEVEL
from tuneloop_trainer.evaluation.baselines import Texts, majority, tfidf_linear
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.measure import Evaluation
from tuneloop_trainer.evaluation.metrics import average_precision
from tuneloop_trainer.evaluation.multi_label import (
    chosen_labels,
    evaluate_labels,
    label_f1,
    label_f1_gain,
    label_metrics,
    paired_labels,
    prior_entropy,
)
from tuneloop_trainer.evaluation.paired_scores import compare_scores
from tuneloop_trainer.evaluation.predictions import Predictions

BOOTSTRAP = Bootstrap(resamples=200)
NAMES = ["a", "b", "c", "d"]


def predicted(*, seed: int, rows: int = 400, labels: int = len(NAMES), sharpness: float = 2.0) -> Predictions:
    """Logits `sharpness` times as large as those that the labels were drawn from; later labels are rarer."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, labels)) - np.linspace(0, 1.5, labels)
    truth = (generator.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    return Predictions(
        values=(logits * sharpness).astype(np.float32),
        labels=truth,
        rows=np.arange(rows),
        offsets=np.arange(rows + 1),
    )


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate_labels(validation=predicted(seed=1), test=predicted(seed=2), labels=NAMES, bootstrap=BOOTSTRAP)


@pytest.fixture(scope="module")
def found(evaluation) -> dict[str, Measured]:
    return {metric.name: metric for metric in evaluation.metrics}


@pytest.fixture(scope="module")
def test() -> Predictions:
    return predicted(seed=2)


test.__test__ = False


def probabilities(predictions: Predictions) -> np.ndarray:
    return 1 / (1 + np.exp(-predictions.values.astype(np.float64)))


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_each_f1_is_that_of_scikit_learn(found, test, average):
    expected = sklearn.f1_score(test.labels, probabilities(test) > 0.5, average=average)
    assert found[f"{average}_f1"].value == pytest.approx(expected)
    assert label_metrics(test, NAMES)[f"{average}_f1"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "metric"), [("accuracy", sklearn.accuracy_score), ("hamming_loss", sklearn.hamming_loss)]
)
def test_what_whole_rows_and_single_pairs_have_right_is_that_of_scikit_learn(found, test, name, metric):
    assert found[name].value == pytest.approx(metric(test.labels, probabilities(test) > 0.5))


@pytest.mark.parametrize(
    ("name", "metric"),
    [("macro_auroc", sklearn.roc_auc_score), ("macro_average_precision", sklearn.average_precision_score)],
)
def test_what_depends_on_the_order_of_the_scores_is_that_of_scikit_learn(found, test, name, metric):
    assert found[name].value == pytest.approx(metric(test.labels, test.values, average="macro"))


def test_scores_that_are_equal_are_one_step_of_the_average_precision():
    generator = np.random.default_rng(5)
    scores, labels = generator.integers(0, 5, 60).astype(float), generator.integers(0, 2, 60)
    assert average_precision(scores, labels) == pytest.approx(sklearn.average_precision_score(labels, scores))


def test_the_loss_is_the_mean_over_all_pairs(found, test):
    flat = sklearn.log_loss(test.labels.ravel(), probabilities(test).ravel())
    assert found["log_loss"].value == pytest.approx(flat)
    assert label_metrics(test, NAMES)["loss"] == pytest.approx(flat)


def test_each_label_has_its_own_scores(evaluation, test):
    columns = sklearn.precision_recall_fscore_support(test.labels, probabilities(test) > 0.5)
    for index, name in enumerate(NAMES):
        score = evaluation.classes[name]
        assert (score.precision, score.recall, score.f1, score.support) == pytest.approx(
            tuple(column[index] for column in columns)
        )


def test_what_is_drawn_over_rows_has_an_interval_around_its_value(found):
    without = {metric.name for metric in found.values() if metric.low is None}
    assert without == {"macro_auroc", "macro_average_precision", "ece", "ece_calibrated"}
    assert all(metric.low < metric.value < metric.high for metric in found.values() if metric.low is not None)


def test_the_temperature_takes_back_what_makes_the_scores_too_sure(evaluation, found):
    assert evaluation.temperature == pytest.approx(2.0, rel=0.2)
    assert found["ece_calibrated"].value < found["ece"].value
    assert found["log_loss_calibrated"].value < found["log_loss"].value


def test_a_label_that_no_test_row_has_is_left_out_of_the_means(test):
    without = test.labels.copy()
    without[:, 3] = 0
    nothing = test.values.copy()
    nothing[:, 3] = -9.0
    changed = replace(test, labels=without, values=nothing)
    metrics = evaluate_labels(validation=changed, test=changed, labels=NAMES, bootstrap=BOOTSTRAP).metrics
    values = {metric.name: metric.value for metric in metrics}
    chosen = chosen_labels(nothing)
    assert values["macro_f1"] == pytest.approx(sklearn.f1_score(without[:, :3], chosen[:, :3], average="macro"))
    assert values["macro_auroc"] == pytest.approx(sklearn.roc_auc_score(without[:, :3], nothing[:, :3]))


def test_the_gain_over_a_baseline_is_the_difference_on_the_same_rows(test):
    baseline = chosen_labels(predicted(seed=9).values)
    gain = label_f1_gain(test, baseline, NAMES, BOOTSTRAP)
    own, other = (label_f1(test, choices, NAMES, BOOTSTRAP) for choices in (chosen_labels(test.values), baseline))
    assert gain.value == pytest.approx(own.value - other.value)
    assert 0 < gain.low < gain.value < gain.high


def test_two_models_are_compared_row_by_row_and_label_by_label(test):
    champion = chosen_labels(predicted(seed=9).values)
    whole, *slices = paired_labels(test, champion, NAMES)
    result = compare_scores(whole, groups=None, bootstrap=BOOTSTRAP, level=LEVEL)
    assert result.challenger == pytest.approx(
        sklearn.f1_score(test.labels, chosen_labels(test.values), average="micro")
    )
    assert result.champion == pytest.approx(sklearn.f1_score(test.labels, champion, average="micro"))
    assert [part.name for part in slices] == NAMES
    of_b = compare_scores(slices[1], groups=None, bootstrap=BOOTSTRAP, level=LEVEL)
    assert of_b.champion == pytest.approx(sklearn.f1_score(test.labels[:, 1], champion[:, 1]))


def test_a_model_that_knows_how_often_each_label_occurs_has_the_prior_loss(test):
    shares = np.tile(test.labels.mean(axis=0), (len(test.labels), 1))
    assert prior_entropy(test.labels) == pytest.approx(sklearn.log_loss(test.labels.ravel(), shares.ravel()))
    assert prior_entropy(np.array([[1, 0], [1, 1]])) == pytest.approx(np.log(2) / 2)


def test_the_majority_has_the_labels_that_most_rows_have():
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]])
    assert majority(labels, rows=2).tolist() == [[1, 0, 0], [1, 0, 0]]


def test_one_linear_model_a_label_finds_the_words_of_each():
    generator = np.random.default_rng(4)
    truth = generator.integers(0, 2, (300, 2))
    texts = [" ".join(["plain", *(["sun"] if sun else []), *(["rain"] if rain else [])]) for sun, rain in truth]
    learned = Texts(texts=texts[:200], labels=truth[:200])
    chosen = Texts(texts=texts[200:250], labels=truth[200:250])
    result = tfidf_linear(learned, chosen, texts[250:], seed=1, beat=lambda _: None)
    assert result.predictions.tolist() == truth[250:].tolist()
    assert "SVM" in result.description
