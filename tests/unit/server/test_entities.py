"""How tags of tokens become words and entities, and what the metrics count of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tuneloop_server.errors import RequestError
from tuneloop_server.model import Encoded, Window
from tuneloop_server.tasks.task import ModelFacts
from tuneloop_server.tasks.token_classification import TOKEN_CLASSIFICATION, read_parameters

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SURE = 10.0


class WordPieces:
    """A vocabulary in which the id of a token is its place in the list; `##` marks a token that continues a word."""

    unknown_id = 99
    has_subword_prefix = True

    def __init__(self, tokens):
        self.tokens = tokens

    def token(self, token_id):
        return self.tokens[token_id] if token_id < len(self.tokens) else "[UNK]"

    def join(self, tokens):
        return " ".join(tokens).replace(" ##", "")


def tagged(*tokens, temperature=2.0, **parameters):
    """The answer for tokens like ("Ada", "B-PER"); each token that does not continue a word follows a space."""
    words, starts = [], []
    text = ""
    for token, _ in tokens:
        surface = token.removeprefix("##")
        text += surface if token.startswith("##") or not text else f" {surface}"
        starts.append(len(text) - len(surface))
        words.append(token)
    offsets = [(start, start + len(token.removeprefix("##"))) for start, (token, _) in zip(starts, tokens, strict=True)]
    window = Encoded(
        ids=[len(words), *range(len(words)), len(words)],
        offsets=[(0, 0), *offsets, (0, 0)],
        special_tokens=[1, *[0] * len(words), 1],
    )
    logits = np.zeros((len(words) + 2, len(LABELS)), dtype=np.float32)
    for row, (_, label) in enumerate(tokens, start=1):
        scores = {label: SURE} if isinstance(label, str) else label
        for name, score in scores.items():
            logits[row, LABELS.index(name)] = score
    facts = ModelFacts(labels=LABELS, temperature=temperature, vocabulary=WordPieces(words))
    return TOKEN_CLASSIFICATION.answer(text, [Window(window, logits)], read_parameters(parameters), facts)


def found(answer):
    return [(entity["entity_group"], entity["word"], entity["start"], entity["end"]) for entity in answer.value]


ADA = (("Ada", "B-PER"), ("love", "I-PER"), ("##lace", "I-PER"), ("in", "O"), ("London", "B-LOC"))


def test_neighbours_of_a_type_are_an_entity_by_default():
    assert found(tagged(*ADA)) == [("PER", "Ada lovelace", 0, 12), ("LOC", "London", 16, 22)]


def test_strategy_none_answers_token_by_token():
    answer = tagged(*ADA, aggregation_strategy="none")
    score = math.exp(SURE) / (math.exp(SURE) + 4)
    first = {"entity": "B-PER", "score": pytest.approx(score), "index": 1, "word": "Ada", "start": 0, "end": 3}
    assert answer.value[0] == first
    assert [element["word"] for element in answer.value] == ["Ada", "love", "##lace", "London"]
    assert [element["index"] for element in answer.value] == [1, 2, 3, 5]


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        pytest.param(["B-PER", "B-PER"], ["a", "b"], id="a B- tag begins a new entity"),
        pytest.param(["B-PER", "I-PER"], ["a b"], id="an I- tag continues it"),
        pytest.param(["I-PER", "I-PER"], ["a b"], id="an entity may begin with I-"),
        pytest.param(["I-PER", "I-LOC"], ["a", "b"], id="another type is another entity"),
        pytest.param(["B-PER", "O"], ["a"], id="O is left out"),
        pytest.param(["O", "O"], [], id="nothing found"),
    ],
)
def test_tags_decide_where_an_entity_begins_and_ends(tags, entities):
    assert [word for _, word, _, _ in found(tagged(*zip("ab", tags, strict=True)))] == entities


@pytest.mark.parametrize(
    ("strategy", "types"),
    [
        pytest.param("simple", ["PER", "LOC"], id="simple may split a word"),
        pytest.param("first", ["PER"], id="the first token decides"),
        pytest.param("max", ["LOC"], id="the most probable token decides"),
        pytest.param("average", ["LOC"], id="the mean decides"),
    ],
)
def test_strategies_give_a_word_one_tag(strategy, types):
    answer = tagged(("love", {"B-PER": 2.0}), ("##lace", {"I-LOC": 9.0}), aggregation_strategy=strategy)
    assert [entity["entity_group"] for entity in answer.value] == types


def test_the_mean_of_three_tokens_beats_the_most_probable_one():
    word = (("a", {"I-PER": 3.0}), ("##b", {"I-PER": 3.0}), ("##c", {"I-LOC": 4.0}))
    by = {name: tagged(*word, aggregation_strategy=name).value[0]["entity_group"] for name in ("average", "max")}
    assert by == {"average": "PER", "max": "LOC"}


def test_the_score_of_an_entity_is_the_mean_of_its_tokens():
    low, high = (math.exp(logit) / (math.exp(logit) + 4) for logit in (2.0, 8.0))
    (entity,) = tagged(("a", {"B-PER": 2.0}), ("b", {"I-PER": 8.0})).value
    assert entity["score"] == pytest.approx((low + high) / 2)


def test_ignored_labels_are_types_of_entities_or_tags_of_tokens():
    assert found(tagged(*ADA, ignore_labels=["PER", "O"])) == [("LOC", "London", 16, 22)]
    assert [entity[0] for entity in found(tagged(*ADA, ignore_labels=[]))] == ["PER", "O", "LOC"]
    tokens = tagged(*ADA, aggregation_strategy="none", ignore_labels=["O", "I-PER"]).value
    assert [element["word"] for element in tokens] == ["Ada", "London"]


def test_the_metrics_count_entities_whatever_the_client_asks_for():
    asked = ({}, {"aggregation_strategy": "none"}, {"aggregation_strategy": "max"}, {"ignore_labels": ["PER", "LOC"]})
    for parameters in asked:
        assert [item.label for item in tagged(*ADA, **parameters).predictions] == ["PER", "LOC"]


def test_a_counted_entity_has_the_mean_confidence_of_its_tokens_before_and_after_calibration():
    (prediction,) = tagged(("a", {"B-PER": 2.0}), ("b", {"I-PER": 8.0}), temperature=2.0).predictions

    def mean(*logits):
        return sum(math.exp(logit) / (math.exp(logit) + 4) for logit in logits) / len(logits)

    assert prediction.confidence == pytest.approx(mean(2.0, 8.0))
    assert prediction.calibrated_confidence == pytest.approx(mean(1.0, 4.0))


def test_a_counted_entity_has_the_mean_entropy_of_its_tokens():
    (prediction,) = tagged(("a", {"B-PER": 900.0}), ("b", {"I-PER": 900.0, "I-LOC": 900.0 - 1e-4})).predictions
    assert prediction.entropy == pytest.approx((0 + math.log(2) / math.log(5)) / 2, abs=1e-4)


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_an_answer_is_read_back_as_the_entities_that_it_lists(strategy):
    """The comparator compares two models by it."""
    value = tagged(*ADA, aggregation_strategy=strategy).value
    (choice,) = TOKEN_CLASSIFICATION.answer_format.read(value)
    assert choice.classes == {(item["start"], item["end"]): item["entity_group"] for item in value}
    assert choice.confidence == min(item["score"] for item in value)


def test_series_are_the_types_of_entities_without_o():
    assert TOKEN_CLASSIFICATION.label_names(LABELS) == ["PER", "LOC"]
    assert TOKEN_CLASSIFICATION.label_names(["O", "S-DATE", "E-DATE", "NOUN", "B-A-B"]) == ["DATE", "NOUN", "A-B"]


def two_windows(first, second, text="Ada Lovelace"):
    """The answer for a text whose windows each found an entity: (start, end, logit of its tag)."""
    windows = []
    for start, end, logit in (first, second):
        logits = np.zeros((1, len(LABELS)), dtype=np.float32)
        logits[0, LABELS.index("B-PER")] = logit
        windows.append(Window(Encoded(ids=[0], offsets=[(start, end)], special_tokens=[0]), logits))
    facts = ModelFacts(labels=LABELS, temperature=1.0, vocabulary=WordPieces([text]))
    return TOKEN_CLASSIFICATION.answer(text, windows, read_parameters({"stride": 1}), facts)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param((0, 3, 5.0), (0, 12, 2.0), [(0, 12)], id="the longer one"),
        pytest.param((0, 12, 2.0), (4, 12, 5.0), [(0, 12)], id="the longer one, though it came first"),
        pytest.param((0, 3, 5.0), (3, 12, 5.0), [(0, 3), (3, 12)], id="both, if they only touch"),
        pytest.param((4, 12, 5.0), (0, 3, 5.0), [(0, 3), (4, 12)], id="both, in the order of the text"),
    ],
)
def test_of_entities_that_overlap_one_is_kept(first, second, kept):
    answer = two_windows(first, second)
    assert [(entity["start"], entity["end"]) for entity in answer.value] == kept
    assert len(answer.predictions) == len(kept)


def test_of_equally_long_entities_the_more_probable_one_is_kept():
    scores = [two_windows((0, 3, first), (0, 3, second)).value[0]["score"] for first, second in ((2, 5), (5, 2))]
    assert scores[0] == scores[1] == pytest.approx(math.exp(5) / (math.exp(5) + 4))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"strategy": "max"}, "parameters.strategy: is not known; allowed are aggregation_strategy", id="field"
        ),
        pytest.param(
            {"aggregation_strategy": "best"},
            'parameters.aggregation_strategy: best was given, allowed are simple, first, average, max, none; for example "simple"',
            id="strategy",
        ),
        pytest.param({"aggregation_strategy": 3}, "parameters.aggregation_strategy: 3 was given", id="number"),
        pytest.param(
            {"ignore_labels": "O"},
            'parameters.ignore_labels: O was given, expected a list of strings; for example ["O"]',
            id="labels that are no list",
        ),
        pytest.param({"ignore_labels": ["O", 1]}, 'parameters.ignore_labels: ["O", 1] was given', id="a label"),
        pytest.param(
            {"stride": -1}, "parameters.stride: -1 was given, expected a whole number from 0, or null", id="stride"
        ),
        pytest.param({"stride": True}, "parameters.stride: true was given", id="stride true"),
        pytest.param(
            {"stride": 8, "aggregation_strategy": "none"},
            "parameters.stride: 8 was given, allowed is an aggregation_strategy other than none; for example",
            id="stride without entities",
        ),
    ],
)
def test_bad_parameters_are_refused_by_field(given, message):
    with pytest.raises(RequestError) as refused:
        read_parameters(given)
    assert (refused.value.status, refused.value.reason) == (422, "validation")
    assert message in str(refused.value)


def test_parameters_have_the_defaults_of_the_inference_api():
    parameters = read_parameters({})
    assert (parameters.aggregation_strategy, parameters.ignore_labels, parameters.stride) == ("simple", ("O",), None)
    assert TOKEN_CLASSIFICATION.stride(read_parameters({"stride": 0})) == 0
