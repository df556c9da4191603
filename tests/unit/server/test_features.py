"""Counting texts into bins, and which tokens begin the words whose tags are counted."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tuneloop_api.contract.monitoring_profile import FeatureProfile, MonitoringProfile
from tuneloop_api.features.bins import usable_bins
from tuneloop_api.features.token_classification import TOKEN_CLASSIFICATION_FEATURES
from tuneloop_server.features import FeatureCounts
from tuneloop_server.model import Encoded, Window
from tuneloop_server.tasks.task import Answer, ModelFacts
from tuneloop_server.tasks.token_classification import TOKEN_CLASSIFICATION, TokenClassificationParameters
from tuneloop_server.tasks.words import first_tokens
from tuneloop_trainer.tasks.token_classification import words_of_tokens

CONSTANT = {"deployment": "reviews", "revision": "abc123", "task": "text-classification"}
PROFILE = MonitoringProfile(
    task="text-classification",
    labels=["no", "yes"],
    temperature=1.0,
    split="test",
    rows=4,
    features=[
        FeatureProfile(name="text_tokens", edges=[2.5, 4.5], counts=[1, 0, 3]),
        FeatureProfile(name="truncated", edges=[0.5], counts=[0, 0]),
        FeatureProfile(name="predicted_label", categories=["no", "yes"], counts=[1, 3]),
    ],
)


@pytest.fixture
def counts():
    """Counts and the registry that shows them."""
    registry, counts = CollectorRegistry(), FeatureCounts(PROFILE, usable_bins(PROFILE))
    counts.show(registry, constant=CONSTANT)
    return counts, registry


def shown(registry, name: str) -> dict[tuple[str, str], float]:
    samples = [sample for family in registry.collect() for sample in family.samples if sample.name == name]
    assert all(sample.labels.items() >= CONSTANT.items() for sample in samples)
    return {(sample.labels["feature"], sample.labels["bin"]): sample.value for sample in samples}


def answer_of(label: str | None) -> Answer:
    return Answer(value=None, predictions=[], features=lambda: {"predicted_label": label, "margin": 0.5})


def window_of(*ids: int, truncated: bool = False) -> Window:
    return Window(Encoded(ids=list(ids), truncated=truncated), np.zeros(2, dtype=np.float32))


def test_every_bin_is_there_before_the_first_text(counts):
    _, registry = counts
    assert shown(registry, "tuneloop_feature_bin_total") == {
        ("text_tokens", "0"): 0,
        ("text_tokens", "1"): 0,
        ("text_tokens", "2"): 0,
        ("truncated", "0"): 0,
        ("truncated", "1"): 0,
        ("predicted_label", "0"): 0,
        ("predicted_label", "1"): 0,
    }


def test_the_reference_is_shown_as_shares_and_one_without_rows_as_0(counts):
    _, registry = counts
    ratios = shown(registry, "tuneloop_training_bin_ratio")
    assert [ratios["text_tokens", str(place)] for place in range(3)] == [0.25, 0, 0.75]
    assert [ratios["truncated", str(place)] for place in range(2)] == [0, 0]


def test_a_text_is_counted_once_in_each_feature(counts):
    features, registry = counts
    count = features.counter(SimpleNamespace(unknown_ids=frozenset({9})))
    count("a text", [window_of(1, 2, 3)], answer_of("yes"))
    count("a text", [window_of(1, 2, 3, 4, 5, truncated=True)], answer_of("no"))
    count("a text", [window_of(1, 2)], answer_of(None))
    found = {place: number for place, number in shown(registry, "tuneloop_feature_bin_total").items() if number}
    assert found == {
        ("text_tokens", "0"): 1,
        ("text_tokens", "1"): 1,
        ("text_tokens", "2"): 1,
        ("truncated", "0"): 2,
        ("truncated", "1"): 1,
        ("predicted_label", "0"): 1,
        ("predicted_label", "1"): 1,
    }


def test_a_text_in_windows_is_counted_by_its_first_window_as_if_it_were_cut(counts):
    features, registry = counts
    count = features.counter(SimpleNamespace(unknown_ids=frozenset()))
    count("a long text", [window_of(1, 2, 3), window_of(3, 4, 5, 6, 7)], answer_of("yes"))
    found = shown(registry, "tuneloop_feature_bin_total")
    assert (found["text_tokens", "1"], found["truncated", "1"]) == (1, 1)
    assert sum(found.values()) == 3


BESIDE = FeatureProfile(name="projection_1", edges=[0.5], direction=[1.0, 0.0], counts=[2, 2])
WITH_PROJECTION = PROFILE.model_copy(update={"features": [*PROFILE.features, BESIDE]})


class Projecting:
    """A model that projects, or says why it does not."""

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal
        self.asked: list = []

    def project(self, directions) -> str:
        self.asked.append(directions)
        return self._refusal


def projecting_counts(refusal: str) -> tuple[FeatureCounts, CollectorRegistry, Projecting]:
    registry, model = CollectorRegistry(), Projecting(refusal)
    counts = FeatureCounts(WITH_PROJECTION, usable_bins(WITH_PROJECTION), {"projection_1": [1.0, 0.0]})
    counts.show(registry, constant=CONSTANT)
    counts.project(model)
    return counts, registry, model


def test_a_text_is_counted_by_the_projections_of_its_first_window():
    counts, registry, model = projecting_counts("")
    assert model.asked == [[[1.0, 0.0]]]
    count = counts.counter(SimpleNamespace(unknown_ids=frozenset()))
    windows = [window_of(1, 2)._replace(projections=[value]) for value in (0.75, 0.25)]
    count("a text", windows, answer_of("yes"))
    found = shown(registry, "tuneloop_feature_bin_total")
    assert (found["projection_1", "0"], found["projection_1", "1"]) == (0, 1)
    count("a text without a vector", [window_of(1, 2)], answer_of("yes"))
    after = shown(registry, "tuneloop_feature_bin_total")
    assert (after["projection_1", "0"], after["projection_1", "1"], after["text_tokens", "0"]) == (0, 1, 2)


def test_projections_that_a_model_cannot_make_have_no_series_and_all_else_is_counted():
    counts, registry, _ = projecting_counts("no")
    counts.counter(SimpleNamespace(unknown_ids=frozenset()))("a text", [window_of(1, 2)], answer_of("yes"))
    for name in ("tuneloop_feature_bin_total", "tuneloop_training_bin_ratio"):
        assert {feature for feature, _ in shown(registry, name)} == {"text_tokens", "truncated", "predicted_label"}
    assert shown(registry, "tuneloop_feature_bin_total")["text_tokens", "0"] == 1


def test_a_model_is_not_asked_to_project_without_directions(counts):
    model = Projecting("")
    counts[0].project(model)
    assert model.asked == []


@st.composite
def tokenized(draw) -> tuple[list[str], list[tuple[int, int]]]:
    """Words, and tokens of the text that they make: with spaces or without, parts of words, letters left out or in several tokens."""
    words = draw(st.lists(st.text("ab\n\u00e9", max_size=5), min_size=1, max_size=8))
    text = " ".join(words)
    cuts = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=12))})
    offsets = [(0, 0)]
    for start, end in pairwise(cuts):
        begin = start + (
            text[start] == " " and draw(st.booleans())
        )  # tokenizers differ in whether a token has the space
        offsets += [(begin, end)] * draw(st.sampled_from([0, 1, 1, 1, 2]))
    return words, [*offsets, (0, 0)]


@given(tokenized())
def test_words_begin_at_the_tokens_that_training_gives_a_tag(case):
    words, offsets = case
    of_tokens = words_of_tokens(words, np.array(offsets, dtype=np.int64))
    expected = [place for place, word in enumerate(of_tokens) if word >= 0 and word not in of_tokens[:place]]
    assert first_tokens(" ".join(words), offsets) == expected


def test_the_features_of_a_tagged_text_are_those_of_its_words_at_their_first_tokens():
    labels = ["O", "B-PER", "I-PER"]
    text, offsets = "Ada met Grace", [(0, 0), (0, 2), (2, 3), (4, 7), (8, 13), (0, 0)]
    tags = [0, 1, 0, 0, 1, 2]
    logits = np.array(
        [[(place + 1.5) * (label == tag) for label in range(3)] for place, tag in enumerate(tags)], dtype=np.float32
    )
    encoded = Encoded(ids=[2, 5, 6, 7, 8, 3], offsets=offsets, special_tokens=[1, 0, 0, 0, 0, 1])
    vocabulary = SimpleNamespace(unknown_id=1, has_subword_prefix=True, token=str, join=" ".join)
    answer = TOKEN_CLASSIFICATION.answer(
        text,
        [Window(encoded, logits)],
        TokenClassificationParameters(),
        ModelFacts(labels=labels, temperature=1.0, vocabulary=vocabulary),
    )
    values = answer.features()
    assert (values["entity_words"], values["entity_type"]) == (pytest.approx(2 / 3), "PER")
    of_words = TOKEN_CLASSIFICATION_FEATURES.values(logits[[1, 3, 4]].tolist(), labels)
    assert values == {name: pytest.approx(value) for name, value in of_words.items()}


def test_a_text_without_words_has_no_features_of_tags():
    encoded = Encoded(ids=[2, 3], offsets=[(0, 0), (0, 0)], special_tokens=[1, 1])
    window = Window(encoded, np.zeros((2, 3), dtype=np.float32))
    facts = ModelFacts(labels=["O", "B-PER", "I-PER"], temperature=1.0, vocabulary=SimpleNamespace(join=" ".join))
    facts.vocabulary.has_subword_prefix, facts.vocabulary.unknown_id = True, 1
    assert TOKEN_CLASSIFICATION.answer("", [window], TokenClassificationParameters(), facts).features() == {}
