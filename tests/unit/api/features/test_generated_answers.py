"""What is measured of an answer that a model generates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.features.bins import choice_bins
from tuneloop_api.features.generated_answers import (
    ANSWER_KINDS,
    ANSWER_TOKENS,
    FINISH,
    FINISH_REASONS,
    GENERATED_FEATURES,
    KIND,
    LEAST_ANSWERS,
    LOGPROB,
    REPETITION,
    answer_bins,
    generated_values,
    kind_of,
    repetition,
)

TOKENS = st.lists(st.integers(0, 5), min_size=5, max_size=60)


def test_every_feature_has_a_value():
    found = generated_values(tokens=[5, 6, 7, 8, 0], logprob=-2.5, finish="eos_token", text="Ada")
    assert found == {ANSWER_TOKENS: 5, LOGPROB: -0.5, REPETITION: 0.0, FINISH: "eos_token", KIND: "sound"}
    assert set(found) == set(GENERATED_FEATURES.names)


@pytest.mark.parametrize(
    ("tokens", "share"),
    [
        pytest.param([1, 2, 3, 4], 0.0, id="one 4-gram can repeat nothing"),
        pytest.param([1, 2, 3], 0.0, id="no 4-gram"),
        pytest.param([1, 2, 3, 4, 5], 0.0, id="all differ"),
        pytest.param([1, 1, 1, 1, 1], 0.5, id="the second of two is the first"),
        pytest.param([1, 2, 3, 4, 1, 2, 3, 4], 0.2, id="one of five"),
        pytest.param([1, 2, 3, 9, 1, 2, 3, 8], 0.0, id="three tokens that return are no repetition"),
    ],
)
def test_repetition_is_the_share_of_4_grams_that_were_there(tokens, share):
    assert repetition(tokens) == pytest.approx(share)


@given(TOKENS)
def test_repetition_is_what_counting_finds(tokens):
    before: set[tuple[int, ...]] = set()
    repeated = 0
    grams = [tuple(tokens[start : start + 4]) for start in range(len(tokens) - 3)]
    for gram in grams:
        repeated += gram in before
        before.add(gram)
    assert repetition(tokens) == pytest.approx(repeated / len(grams))


@pytest.mark.parametrize(
    ("text", "repeated", "kind"),
    [
        pytest.param(" \n", 0.9, "empty", id="white space alone"),
        pytest.param("I'm sorry, but I can't help with that.", 0.0, "refused", id="a refusal"),
        pytest.param("  I’m  unable to say.", 0.0, "refused", id="with another apostrophe and more spaces"),
        pytest.param("He said: I cannot.", 0.0, "sound", id="words of a refusal later on"),
        pytest.param("round and round", 0.51, "repeating", id="more than half"),
        pytest.param("round and round", 0.5, "sound", id="half"),
        pytest.param("Ada", 0.0, "sound", id="all others"),
    ],
)
def test_the_kind_of_an_answer(text, repeated, kind):
    assert kind_of(text, repeated) == kind


@pytest.mark.parametrize("kind", range(4), ids=ANSWER_KINDS)
def test_rules_of_prometheus_know_the_kinds_by_their_bins(kind):
    assert choice_bins(ANSWER_KINDS).index(["empty", "refused", "repeating", "sound"][kind]) == kind


def test_rules_of_prometheus_know_answers_that_were_cut_by_their_bin():
    assert choice_bins(FINISH_REASONS).index("length") == 0


@pytest.mark.parametrize("name", GENERATED_FEATURES.numbers)
def test_few_answers_give_fixed_bins(name):
    edges = answer_bins(name, [0.1] * (LEAST_ANSWERS - 1)).edges
    assert edges == answer_bins(name, []).edges
    assert list(edges) == sorted(set(edges))


def test_many_answers_give_bins_that_are_as_full():
    values = [float(value) for value in range(100)]
    bins = answer_bins(LOGPROB, values)
    assert {sum(bins.index(value) == place for value in values) for place in range(bins.size)} == {10}


@given(st.lists(st.integers(1, 128), min_size=LEAST_ANSWERS, max_size=200))
def test_longer_answers_than_those_of_the_reference_have_bins(lengths):
    bins = answer_bins(ANSWER_TOKENS, lengths)
    assert list(bins.edges) == sorted(set(bins.edges))
    assert len({bins.index(length) for length in (200, 400, 900, 2000, 9000)}) == 5
