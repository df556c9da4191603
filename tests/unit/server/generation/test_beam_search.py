"""Beam search over models that are tables: what comes after a token is known, so that the best answer can be found by trying all."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_server.generation.answer import Generation, Prompt, TokenMeaning
from tuneloop_server.generation.beam_answer import BeamAnswer
from tuneloop_server.generation.beam_search import Beams, BeamSearch
from tuneloop_server.generation.sampling import NotFinite

START, END, VOCABULARY, MOST = 0, 1, 4, 3


def search_of(
    table: np.ndarray, beams: Beams, *, most: int = MOST, change=lambda _tokens, scores: scores
) -> BeamSearch:
    """Return a search that is over. table: logits after each token, [V, V]."""
    search = BeamSearch(beams, start=[START], most=most, ends=frozenset([END]), change=change)
    search.advance(table[[START]])
    while not search.is_over:
        search.advance(table[search.last_tokens])
    return search


def log_probabilities(table: np.ndarray) -> np.ndarray:
    return table - np.log(np.exp(table).sum(axis=1, keepdims=True))


def score(table: np.ndarray, tokens: tuple[int, ...], penalty: float) -> float:
    steps = zip((START, *tokens), tokens, strict=False)
    return sum(log_probabilities(table)[before, token] for before, token in steps) / len(tokens) ** penalty


ANSWERS = [(END,), *product([0, 2, 3], range(VOCABULARY))]
"""Every answer of at most two tokens: it ends with the end, or has both."""

tables = st.lists(st.floats(-3, 3, width=32), min_size=VOCABULARY**2, max_size=VOCABULARY**2, unique=True).map(
    lambda numbers: np.array(numbers, dtype=np.float32).reshape(VOCABULARY, VOCABULARY)
)


@settings(max_examples=40, deadline=None)
@given(table=tables, penalty=st.sampled_from([0.0, 1.0, 2.0]))
def test_enough_beams_find_the_likeliest_of_all_answers(table, penalty):
    found = search_of(table, Beams(count=4, length_penalty=penalty, early_stopping="never"), most=2).best
    best = max(score(table, tokens, penalty) for tokens in ANSWERS)
    assert score(table, found.tokens, penalty) == pytest.approx(best, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(table=tables, count=st.integers(2, 4))
def test_the_logprobs_are_those_of_the_model_for_the_tokens_of_the_answer(table, count):
    best = search_of(table, Beams(count=count)).best
    steps = zip((START, *best.tokens), best.tokens, strict=False)
    expected = [log_probabilities(table)[before, token] for before, token in steps]
    assert best.logprobs == pytest.approx(expected, abs=1e-5)


def test_the_greedy_way_may_miss_what_two_beams_find():
    table = np.log(
        np.array(
            [[0.01, 0.01, 0.51, 0.47], [0.25, 0.25, 0.25, 0.25], [0.3, 0.3, 0.2, 0.2], [0.01, 0.97, 0.01, 0.01]],
            dtype=np.float32,
        )
    )
    assert search_of(table, Beams(count=2, length_penalty=0.0)).best.tokens == (3, END)


@pytest.mark.parametrize(("early_stopping", "expected"), [(True, (2, END)), (False, (2, 2, END))])
def test_a_search_may_end_with_as_many_whole_answers_as_beams(early_stopping, expected):
    after_two = [0.05, 0.6, 0.3, 0.05]
    table = np.log(np.array([[0.01, 0.4, 0.34, 0.25], [0.25] * 4, after_two, [0.25] * 4], dtype=np.float32))
    beams = Beams(count=2, length_penalty=2.0, early_stopping=early_stopping)
    assert search_of(table, beams).best.tokens == expected


def test_scores_may_be_changed_and_the_logprobs_stay_the_models():
    table = np.zeros((VOCABULARY, VOCABULARY), dtype=np.float32)
    only_three = np.array([-np.inf, -np.inf, -np.inf, 0], dtype=np.float32)
    best = search_of(table, Beams(count=2), change=lambda _, scores: scores + only_three).best
    assert best.tokens == (3, 3, 3)
    assert best.logprobs == pytest.approx([-np.log(VOCABULARY)] * 3)


def test_each_beam_says_from_which_row_it_goes_on():
    table = np.log(np.array([[0.1, 0.1, 0.5, 0.3], [0.25] * 4, [0.45, 0.05, 0.1, 0.4], [0.1, 0.1, 0.4, 0.4]]))
    search = BeamSearch(Beams(count=2), start=[START], most=9, ends=frozenset([END]), change=lambda _, scores: scores)
    search.advance(table[[START]].astype(np.float32))
    assert (search.origins, search.last_tokens) == ([0, 0], [2, 3])
    search.advance(table[search.last_tokens].astype(np.float32))
    assert (search.origins, search.last_tokens) == ([0, 0], [0, 3])


@pytest.mark.parametrize("vocabulary", [5000, 4096])
def test_a_large_vocabulary_is_searched_in_parts_without_a_change(vocabulary):
    logits = np.random.default_rng(0).normal(size=(1, vocabulary)).astype(np.float32)
    search = BeamSearch(Beams(count=4), start=[0], most=3, ends=frozenset([END]), change=lambda _, scores: scores)
    search.advance(logits)
    assert search.last_tokens == np.argsort(-logits[0])[:4].tolist()


def test_logits_that_are_no_numbers_are_refused():
    search = BeamSearch(Beams(count=2), start=[0], most=3, ends=frozenset([END]), change=lambda _, scores: scores)
    with pytest.raises(NotFinite):
        search.advance(np.full((1, VOCABULARY), np.nan, dtype=np.float32))


def test_the_pieces_of_an_answer_come_together_with_its_last_pass():
    meaning = TokenMeaning(decode=lambda ids: "".join("se\u00e9x"[token] for token in ids), ends=frozenset([END]))
    generation = Generation(max_tokens=3, beams=Beams(count=2))
    answer = BeamAnswer(Prompt(text="", ids=[START], source=[5, 6]), generation, meaning)
    table = np.log(np.array([[0.01, 0.01, 0.9, 0.08], [0.25] * 4, [0.01, 0.01, 0.08, 0.9], [0.02, 0.9, 0.04, 0.04]]))
    table = table.astype(np.float32)
    assert answer.advance(table[[START]]) == []
    pieces = []
    while not pieces:
        pieces = answer.advance(table[answer.last_tokens])
    assert "".join(piece.text for piece in pieces) == "éx"
    assert [piece.finish for piece in pieces] == [None, None, "eos_token"]
