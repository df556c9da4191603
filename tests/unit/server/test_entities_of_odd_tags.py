"""Words of a vocabulary without a mark for their parts, types with a hyphen, and entities that windows share."""

from __future__ import annotations

import numpy as np
import pytest

from tuneloop_server.model import Encoded, Window
from tuneloop_server.tasks.entities import Entity, Tagged, grouped, tagged_words, tokens_of, without_overlaps


class Vocabulary:
    """One token a character, as in byte-level vocabularies; nothing marks a token that continues a word."""

    unknown_id = 99
    has_subword_prefix = False

    def token(self, token_id):
        return f"<{token_id}>"

    def join(self, tokens):
        return "".join(tokens)


def test_without_a_mark_a_word_begins_after_a_space():
    text = "ab c.d"
    offsets = [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6)]
    encoded = Encoded(ids=[0, 1, 2, 3, 99], offsets=offsets, special_tokens=[0] * 5)
    logits = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    tokens = tokens_of(text, Window(encoded, logits), temperature=2.0, vocabulary=Vocabulary())
    assert [(token.word, token.continues_word) for token in tokens] == [
        ("<0>", False), ("<1>", True), ("<2>", False), ("<3>", True), ("d", False),
    ]  # fmt: skip
    assert [token.index for token in tokens] == [0, 1, 2, 3, 4]
    assert tokens[0].calibrated_confidence == pytest.approx(1 / (1 + np.exp(-0.5)))
    words = tagged_words(tokens, Vocabulary(), strategy="max")
    assert [(word.word, word.start, word.end, word.label) for word in words] == [
        ("<0><1>", 0, 2, 1), ("<2><3>", 2, 5, 0), ("d", 5, 6, 0),
    ]  # fmt: skip


def tag(label: int, start: int) -> Tagged:
    return Tagged(tokens=(), label=label, score=0.5, word="w", start=start, end=start + 1)


def test_the_first_tag_of_a_group_names_its_type():
    """A tag without a position joins a group of the same type; only what precedes a first hyphen is no part of a type."""
    (entity,) = grouped([tag(0, 0), tag(1, 2)], ["B-ORG-X", "ORG-X"], Vocabulary())
    assert (entity.type, entity.start, entity.end, entity.score) == ("ORG-X", 0, 3, 0.5)


def entity(start: int, end: int, score: float = 0.5) -> Entity:
    return Entity(tokens=(), type="PER", score=score, word="w", start=start, end=end)


@pytest.mark.parametrize(
    ("entities", "kept"),
    [
        pytest.param([entity(4, 6), entity(0, 3)], [(0, 3), (4, 6)], id="in the order of the text"),
        pytest.param([entity(0, 3), entity(3, 5)], [(0, 3), (3, 5)], id="neighbours"),
        pytest.param([entity(0, 3), entity(2, 6)], [(2, 6)], id="the longer one"),
        pytest.param([entity(0, 6, 0.1), entity(2, 6, 0.9)], [(0, 6)], id="the longer one, whatever its score"),
        pytest.param([entity(0, 3, 0.1), entity(2, 5, 0.9)], [(2, 5)], id="of equally long ones the surer"),
        pytest.param([entity(0, 3, 0.9), entity(0, 3, 0.1)], [(0, 3)], id="twice"),
    ],
)
def test_of_entities_that_overlap_one_is_kept(entities, kept):
    assert [(found.start, found.end) for found in without_overlaps(entities)] == kept
