"""The three schemes of tags say the same spans; a tag that a scheme does not allow is named with the reason."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.data.formats.tag_schemes import ImpossibleTag, Span, detect, spans_of, tags_of, type_of

SENTENCE = {
    "iob1": ["I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG"],
    "iob2": ["B-PER", "I-PER", "B-PER", "O", "B-LOC", "B-ORG"],
    "bioes": ["B-PER", "E-PER", "S-PER", "O", "S-LOC", "S-ORG"],
}
SPANS = [Span(0, 2, "PER"), Span(2, 3, "PER"), Span(4, 5, "LOC"), Span(5, 6, "ORG")]


@st.composite
def spans(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Draw spans that do not overlap, and the number of words."""
    cuts = sorted(draw(st.sets(st.integers(0, 12), min_size=1)))
    kinds = draw(st.lists(st.sampled_from(["PER", "LOC", None]), min_size=len(cuts), max_size=len(cuts)))
    found = [Span(start, end, kind) for (start, end), kind in zip(pairwise(cuts), kinds, strict=False) if kind]
    return found, cuts[-1] + 1


@given(drawn=spans(), scheme=st.sampled_from(["iob2", "bioes"]))
def test_spans_that_are_written_as_tags_are_read_back(drawn, scheme):
    found, words = drawn
    tags = tags_of(found, words=words, scheme=scheme)
    assert len(tags) == words
    assert spans_of(tags, scheme) == found


@pytest.mark.parametrize("scheme", list(SENTENCE))
def test_each_scheme_marks_the_same_spans_in_its_own_way(scheme):
    assert spans_of(SENTENCE[scheme], scheme) == SPANS
    assert detect([["O", "O"], SENTENCE[scheme]]) == scheme
    assert [other for other in SENTENCE if isinstance(spans_of(SENTENCE[scheme], other), list)] == [scheme]


@pytest.mark.parametrize(
    ("scheme", "tags", "index", "reason"),
    [
        pytest.param("iob2", "O I-PER", 1, "I-PER after O: IOB2 begins a span with B-", id="I- after nothing"),
        pytest.param("iob2", "B-PER I-LOC", 1, "I-LOC after B-PER", id="I- after another type"),
        pytest.param("iob2", "B-PER E-PER", 1, "E-PER has a prefix that IOB2 does not have", id="a prefix of BIOES"),
        pytest.param("iob1", "O B-PER", 1, "B-PER after O: IOB1 has B- only behind a span", id="B- alone in IOB1"),
        pytest.param("iob1", "I-LOC B-PER", 1, "B-PER after I-LOC", id="B- after another type in IOB1"),
        pytest.param("bioes", "B-PER O", 1, "O after B-PER: BIOES ends a span with E- or S-", id="no end"),
        pytest.param("bioes", "B-PER", 0, "B-PER at the end of the sentence", id="no end at the end"),
        pytest.param("bioes", "S-PER E-PER", 1, "E-PER after S-PER: BIOES begins", id="E- of nothing"),
        pytest.param("bioes", "B-PER E-PER I-PER", 2, "I-PER after E-PER: BIOES begins", id="I- behind an end"),
        pytest.param("bioes", "B-PER E-LOC", 1, "E-LOC after B-PER", id="the end of another type"),
        pytest.param("iob2", "O NOUN", 1, "no tag: O, or B-", id="no prefix"),
        pytest.param("iob2", "B-", 0, "no tag: O, or B-", id="no type"),
        pytest.param("bioes", "X-PER", 0, "no tag: O, or B-", id="an unknown prefix"),
    ],
)
def test_an_impossible_tag_is_found_with_its_place_and_reason(scheme, tags, index, reason):
    found = spans_of(tags.split(), scheme)
    assert isinstance(found, ImpossibleTag)
    assert found.index == index
    assert reason in found.reason


def test_a_type_may_have_a_hyphen():
    assert type_of("B-GPE-city") == "GPE-city"
    assert type_of("O") is None


def test_the_scheme_is_that_of_most_sentences():
    assert detect([SENTENCE["iob1"]] * 3 + [SENTENCE["iob2"]] * 2) == "iob1"


def test_without_any_span_the_scheme_is_iob2():
    assert detect([]) == detect([["O"], ["O", "O"]]) == "iob2"


def test_sentences_without_a_span_have_no_vote():
    assert detect([["O", "O"]] * 2000 + [SENTENCE["bioes"]]) == "bioes"
