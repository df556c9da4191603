from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from tuneloop_trainer.evaluation import baselines
from tuneloop_trainer.evaluation.baselines import (
    MAX_CHARACTERS,
    Texts,
    WordFeatures,
    _candidates,
    cut_length,
    majority,
    sampled,
    tfidf_linear,
)
from tuneloop_trainer.evaluation.word_tags import most_frequent_tags

REVIEWS = Path(__file__).parents[4] / ".tuneloop/claims/demo/movie-reviews.csv"


def silent(_: float) -> None:
    """Take no notice of progress."""


def accuracy_of(train: Texts, validation: Texts, test: Texts) -> float:
    found = tfidf_linear(train, validation, test.texts, seed=42, beat=silent)
    return float((found.predictions == test.labels).mean())


def topics(rows: int, words: list[list[str]], *, seed: int) -> Texts:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(words), rows)
    return Texts(texts=[" ".join(generator.choice(words[label], 6)) for label in labels], labels=labels)


def test_real_film_reviews_are_classified_as_well_as_by_known_linear_models():
    with REVIEWS.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    order = np.random.default_rng(0).permutation(len(lines))
    labels = np.array([float(line["rating"]) > 0 for line in lines], dtype=np.int64)
    tenth = len(lines) // 10
    test, validation, train = (
        Texts(texts=[lines[row]["sentence"] for row in rows], labels=labels[rows])
        for rows in (order[:tenth], order[tenth : 2 * tenth], order[2 * tenth :])
    )
    assert 0.77 < accuracy_of(train, validation, test) < 0.83


@pytest.mark.parametrize("classes", [2, 7, 20])
def test_any_number_of_classes_is_learned(classes):
    words = [[f"word{topic}x{number}" for number in range(8)] for topic in range(classes)]
    train, validation, test = (topics(rows, words, seed=seed) for seed, rows in enumerate((400, 80, 80)))
    assert accuracy_of(train, validation, test) > 0.95


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([["прекрасный", "чудесно", "люблю"], ["ужасный", "скучно", "плохо"]], id="Russian"),
        pytest.param([["wunderschön", "großartig", "süß"], ["öde", "übel", "schäbig"]], id="German"),
        pytest.param([["رائع", "جميل", "ممتاز"], ["سيئ", "ممل", "ضعيف"]], id="Arabic"),
        pytest.param([["很好", "精彩", "喜欢"], ["无聊", "糟糕", "讨厌"]], id="Chinese, with spaces"),
    ],
)
def test_words_of_any_script_are_words(words):
    train, validation, test = (topics(rows, words, seed=seed) for seed, rows in enumerate((100, 40, 40)))
    assert accuracy_of(train, validation, test) > 0.95


def test_the_model_is_chosen_without_a_look_at_the_test_rows():
    words = [["a", "b", "c"], ["b", "c", "d"]]
    train, validation, test = (topics(rows, words, seed=seed) for seed, rows in enumerate((200, 50, 50)))
    alone = tfidf_linear(train, validation, test.texts[:1], seed=1, beat=silent)
    together = tfidf_linear(train, validation, test.texts, seed=1, beat=silent)
    assert alone.description == together.description
    assert alone.predictions[0] == together.predictions[0]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        pytest.param(Texts(texts=["a b", "c d"], labels=np.array([1, 1])), 1, id="one class"),
        pytest.param(Texts(texts=["?!", "🙂", "…"], labels=np.array([0, 2, 2])), 2, id="no words"),
    ],
)
def test_without_anything_to_learn_the_majority_is_predicted(train, expected):
    found = tfidf_linear(train, Texts(texts=["a"], labels=np.array([0])), ["x", "y"], seed=1, beat=silent)
    assert found.predictions.tolist() == [expected, expected]


def test_unknown_words_count_as_much_as_no_word():
    train = Texts(texts=["good film", "fine film", "dear film", "bad film"] * 5, labels=np.array([1, 1, 1, 0] * 5))
    found = tfidf_linear(train, train, ["zzz", "", "good"], seed=1, beat=silent)
    assert found.predictions.tolist() == [1, 1, 1]


def test_features_are_those_of_scikit_learn():
    texts = ["a film, a film, a film", "the film is bad", "bad bad bad", "the story of the film"]
    known = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+").fit_transform(texts).toarray()
    found = WordFeatures().fit(texts).toarray()
    np.testing.assert_allclose(found @ found.T, known @ known.T, atol=1e-6)


def test_of_equally_frequent_features_the_same_are_kept_on_every_machine(monkeypatch):
    """numpy's default sort leaves the order of equal values to the machine."""
    monkeypatch.setattr(baselines, "MAX_FEATURES", 30)
    features = WordFeatures()
    features.fit([" ".join(f"w{number}" for number in range(200))])
    everything = WordFeatures()
    monkeypatch.setattr(baselines, "MAX_FEATURES", 10**6)
    everything.fit([" ".join(f"w{number}" for number in range(200))])
    assert features._kept.tolist() == everything._kept[:30].tolist()


def test_the_model_is_chosen_by_the_validation_rows_alone():
    """The training labels are noise, which the strongest machine learns by heart; the validation labels are what the mildest Bayes says."""
    generator = np.random.default_rng(3)
    texts = [" ".join(generator.choice([f"w{number}" for number in range(60)], 8)) for _ in range(400)]
    train = Texts(texts=texts[:200], labels=generator.integers(0, 2, 200))
    features = WordFeatures()
    inputs, held_out = features.fit(train.texts), features.of(texts[200:])
    fitted = {name: model.fit(inputs, train.labels) for name, model in _candidates(1)}
    by_training = max(fitted, key=lambda name: (fitted[name].predict(inputs) == train.labels).mean())
    wanted = "naive Bayes, alpha = 3"
    validation = Texts(texts=texts[200:], labels=fitted[wanted].predict(held_out))
    found = tfidf_linear(train, validation, texts[200:], seed=1, beat=silent)
    assert found.description == wanted != by_training
    assert (found.predictions == validation.labels).all()


def test_of_equally_good_models_the_mildest_is_taken():
    train = Texts(texts=["good film", "bad film"] * 20, labels=np.array([1, 0] * 20))
    assert tfidf_linear(train, train, ["x"], seed=1, beat=silent).description == "linear SVM, C = 0.1"


def test_each_word_has_the_tag_that_it_most_often_had():
    rows = [
        (["may", "in", "may"], ["B-PER", "O", "O"]),
        (["may", "oslo"], ["O", "B-LOC"]),
        (["x", "x"], ["O", "B-LOC"]),
    ]
    assert most_frequent_tags(rows) == {"may": "O", "in": "O", "oslo": "B-LOC", "x": "B-LOC"}


def test_the_majority_is_that_of_the_training_rows():
    assert majority(np.array([2, 1, 2, 0]), rows=3).tolist() == [2, 2, 2]
    assert majority(np.array([1, 0]), rows=1).tolist() == [0]


@pytest.mark.parametrize("rows", [1, 8000, 30_000, 100_000])
def test_the_texts_that_are_read_fit_into_the_budget(rows):
    assert rows * cut_length(rows) <= MAX_CHARACTERS


def test_of_very_many_rows_some_are_taken_evenly():
    rows = sampled(10_000_000)
    assert len(rows) == 100_000
    assert rows[0] == 0
    assert rows[-1] == 9_999_999
    assert sampled(3).tolist() == [0, 1, 2]


def test_progress_grows_to_one():
    train = Texts(texts=["good film", "bad film"] * 5, labels=np.array([1, 0] * 5))
    posted: list[float] = []
    tfidf_linear(train, train, ["x"], seed=1, beat=posted.append)
    assert posted == sorted(posted)
    assert posted[-1] == pytest.approx(1.0)
