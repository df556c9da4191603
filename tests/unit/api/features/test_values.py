"""What the features of a text and of an answer are."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.features.bins import MOST_BINS, QUANTILES, choice_bins
from tuneloop_api.features.text import TEXT_FEATURES, counter_of, text_values, unknown_ids
from tuneloop_api.features.text_classification import TEXT_CLASSIFICATION_FEATURES, certainty_of, softmax
from tuneloop_api.features.token_classification import TOKEN_CLASSIFICATION_FEATURES

LABELS = ["negative", "neutral", "positive"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "MISC"]
LOGITS = st.lists(st.floats(-50, 50), min_size=1, max_size=6)


def logits_of(tag: str, *, sure: float = 3.0) -> list[float]:
    return [sure if tag == other else 0.0 for other in TAGS]


def test_a_text_has_its_length_its_unknown_tokens_and_whether_it_was_cut():
    assert text_values(characters=40, tokens=8, unknown=2, truncated=True) == {
        "text_characters": 40,
        "text_tokens": 8,
        "unknown_tokens": 0.25,
        "truncated": 1,
    }


def test_unknown_tokens_do_not_apply_where_the_tokenizer_knows_everything():
    count = counter_of(frozenset())
    assert text_values(characters=4, tokens=2, unknown=count([1, 2]), truncated=False)["unknown_tokens"] is None


@pytest.mark.parametrize(("unknown", "counted"), [({7}, 2), ({7, 9}, 3), ({1}, 0)])
def test_unknown_tokens_are_counted(unknown, counted):
    assert counter_of(frozenset(unknown))([7, 8, 7, 9]) == counted


@pytest.mark.parametrize(
    ("vocabulary", "marks", "found"),
    [
        pytest.param({}, {"unk": 1, "cls": 2, "sep": 3}, {1}, id="WordPiece"),
        pytest.param({}, {"unk": 5, "bos": 5, "eos": 5}, set(), id="GPT-2: the end of a text is unk, too"),
        pytest.param({"<0x00>": 3, "<0xFF>": 258, "<0xff>": 9}, {"unk": 0, "bos": 1}, {0, 3, 258}, id="Llama"),
        pytest.param({}, {}, set(), id="no unknown token"),
    ],
)
def test_unknown_ids_are_the_unknown_token_and_single_bytes(vocabulary, marks, found):
    tokenizer = SimpleNamespace(
        backend_tokenizer=SimpleNamespace(token_to_id=vocabulary.get),
        **{f"{mark}_token_id": marks.get(mark) for mark in ("unk", "bos", "eos", "cls", "sep")},
    )
    assert unknown_ids(tokenizer) == found


def test_a_classified_text_has_label_confidence_entropy_and_margin():
    values = TEXT_CLASSIFICATION_FEATURES.values([[math.log(0.2), math.log(0.1), math.log(0.7)]], LABELS)
    entropy = -(0.2 * math.log(0.2) + 0.1 * math.log(0.1) + 0.7 * math.log(0.7)) / math.log(3)
    assert values == {
        "predicted_label": "positive",
        "confidence": pytest.approx(0.7),
        "entropy": pytest.approx(entropy),
        "margin": pytest.approx(0.5),
    }


def test_two_labels_that_are_equally_likely_have_no_margin():
    assert certainty_of([0.4, 0.2, 0.4]).margin == 0


def test_a_model_with_one_label_is_sure():
    found = certainty_of([1.0])
    assert (found.confidence, found.margin, found.entropy) == (1, 1, 0)


@given(LOGITS)
def test_features_of_a_classified_text_are_ratios(logits):
    found = certainty_of(softmax(logits))
    assert 0 <= found.margin <= found.confidence <= 1
    assert 0 <= found.entropy <= 1


def test_a_tagged_text_has_its_share_of_entity_words_and_the_most_frequent_type():
    logits = [logits_of(tag) for tag in ("B-LOC", "O", "B-PER", "I-PER")]
    values = TOKEN_CLASSIFICATION_FEATURES.values(logits, TAGS)
    assert (values["entity_words"], values["entity_type"]) == (0.75, "PER")


def test_a_tagged_text_is_as_sure_as_its_words_on_average_and_at_least():
    values = TOKEN_CLASSIFICATION_FEATURES.values([logits_of("O", sure=9.0), logits_of("MISC", sure=1.0)], TAGS)
    high, low = (math.exp(sure) / (math.exp(sure) + 4) for sure in (9.0, 1.0))
    assert values["confidence"] == pytest.approx((high + low) / 2)
    assert values["lowest_confidence"] == pytest.approx(low)


def test_of_types_that_are_equally_frequent_the_first_in_the_text_counts():
    logits = [logits_of(tag) for tag in ("B-LOC", "B-PER")]
    assert TOKEN_CLASSIFICATION_FEATURES.values(logits, TAGS)["entity_type"] == "LOC"


def test_a_text_without_entities_has_a_choice_of_its_own_and_one_without_words_no_features():
    choices = TOKEN_CLASSIFICATION_FEATURES.choices["entity_type"](TAGS)
    values = TOKEN_CLASSIFICATION_FEATURES.values([logits_of("O")], TAGS)
    assert choices == ["O", "PER", "LOC", "MISC"]
    assert (values["entity_type"], values["entity_words"]) == ("O", 0)
    assert TOKEN_CLASSIFICATION_FEATURES.values([], TAGS) == {}


@pytest.mark.parametrize(
    ("features", "logits", "labels"),
    [
        (TEXT_CLASSIFICATION_FEATURES, [[0.5, 1.5, 0.0]], LABELS),
        (TOKEN_CLASSIFICATION_FEATURES, [logits_of("B-PER"), logits_of("O")], TAGS),
    ],
    ids=["text", "token"],
)
def test_a_task_gives_a_value_for_each_of_its_features_and_for_no_other(features, logits, labels):
    values = features.values(logits, labels)
    assert values.keys() == {*features.names}
    assert all(values[name] in choices(labels) for name, choices in features.choices.items())


@pytest.mark.parametrize("features", [TEXT_CLASSIFICATION_FEATURES, TOKEN_CLASSIFICATION_FEATURES])
def test_the_bins_of_a_task_are_as_many_as_the_page_says_and_fewer_than_are_allowed(features):
    labels = [f"B-{number}" for number in range(1000)]
    numbers = QUANTILES * (len(TEXT_FEATURES) + len(features.numbers) - 1) + 3  # truncated is 0 or 1
    most = numbers + sum(choice_bins(choices(labels)).size for choices in features.choices.values())
    assert (most, most <= MOST_BINS) == (114, True)
