"""Metrics of written texts are those of sacrebleu and rouge-score, for one row, for a corpus, and for any way to share out its rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from tuneloop_trainer.evaluation.written_texts import WRITTEN_METRICS, bleu, chrf, common_length, sums_of_rows

ROUGE = json.loads((Path(__file__).parents[3] / "golden" / "rouge_score.json").read_text(encoding="utf-8"))

WORDS = st.sampled_from(
    [
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "mat,",
        "it's",
        "3.5",
        "km!",
        "(yes)",
        "don't",
        "stop?",
        "and-or",
        "a_b",
        "Größe",
        "日本語",
        "",
    ]
)
TEXT = st.lists(WORDS, max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6)


@given(pairs=PAIRS)
@settings(max_examples=150, deadline=None)
def test_bleu_and_chrf_of_a_corpus_are_those_of_sacrebleu(pairs):
    written, wanted = map(list, zip(*pairs, strict=True))
    sums = sums_of_rows(written, wanted).sum(axis=0)
    assert bleu(sums) == pytest.approx(BLEU().corpus_score(written, [wanted]).score, abs=1e-9)
    assert chrf(sums) == pytest.approx(CHRF().corpus_score(written, [wanted]).score, abs=1e-9)


@given(pairs=PAIRS, cut=st.integers(0, 6))
@settings(max_examples=40, deadline=None)
def test_rows_may_be_counted_apart(pairs, cut):
    written, wanted = map(list, zip(*pairs, strict=True))
    apart = [sums_of_rows(written[part], wanted[part]) for part in (slice(cut), slice(cut, None))]
    assert np.array_equal(np.concatenate(apart), sums_of_rows(written, wanted))


@pytest.mark.parametrize("case", ROUGE["cases"], ids=lambda case: case["written"][:20])
def test_rouge_of_a_row_is_that_of_rouge_score(case):
    sums = sums_of_rows([case["written"]], [case["wanted"]])[0]
    found = {name: float(WRITTEN_METRICS[name](sums)) for name in ("rouge1", "rouge2", "rougeL")}
    assert found == pytest.approx({name: case[name] for name in found}, abs=1e-12)


def test_letters_of_other_languages_are_letters():
    assert WRITTEN_METRICS["rouge1"](sums_of_rows(["Größe zählt"], ["größe ZÄHLT"])[0]) == 1


def test_rouge_of_a_corpus_is_the_mean_of_its_rows():
    sums = sums_of_rows(["a b", "c d"], ["a b", "x y"])
    assert WRITTEN_METRICS["rougeL"](sums.sum(axis=0)) == 0.5


@pytest.mark.parametrize(
    ("written", "exact", "ratio"),
    [("a b c d", 1, 1), (" a b c d\n", 1, 1), ("a b", 0, 0.5), ("A b c d", 0, 1), ("", 0, 0)],
)
def test_a_text_is_exact_but_for_spaces_around_it_and_its_length_is_counted_in_words(written, exact, ratio):
    sums = sums_of_rows([written], ["a b c d"]).sum(axis=0)
    assert (WRITTEN_METRICS["exact_match"](sums), WRITTEN_METRICS["length_ratio"](sums)) == (exact, ratio)


def test_metrics_take_the_sums_of_many_resamples_at_once():
    rows = sums_of_rows(["a b c", "d", ""], ["a b x", "d", "e f"])
    resamples = np.stack([rows.sum(axis=0), 2 * rows[0] + rows[1], 3 * rows[2]])
    for name, metric in WRITTEN_METRICS.items():
        assert metric(resamples).tolist() == [pytest.approx(float(metric(sums))) for sums in resamples], name


@given(first=st.lists(st.integers(0, 3), max_size=7), second=st.lists(st.integers(0, 3), max_size=7))
def test_the_longest_common_subsequence_is_the_longest_of_all(first, second):
    def longest(left, right):
        if not left or not right:
            return 0
        if left[0] == right[0]:
            return 1 + longest(left[1:], right[1:])
        return max(longest(left[1:], right), longest(left, right[1:]))

    assert common_length(first, second) == longest(first, second)
