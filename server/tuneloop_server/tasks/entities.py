"""Entities from the tags of tokens, with the rules of transformers' token classification pipeline. Pure.

The rules decide which tokens form a word, which tag a word gets (`first`, `average`, `max`) and which neighbours form an entity. They follow
`transformers/pipelines/token_classification.py`, also where a rule is crude: a client gets here what it gets there.

Shapes: T = tokens, C = labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.features.token_classification import entity_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tuneloop_server.model import Logits, Vocabulary, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of the text itself, with the model's probabilities; no special token."""

    index: int
    """Its place among all tokens of the window, special tokens included."""
    word: str
    start: int
    end: int
    continues_word: bool
    """The token belongs to the word of the token before it."""
    scores: NDArray[np.float32]
    """[C], softmax of the logits."""
    calibrated_confidence: float
    """Largest probability after temperature scaling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A token or a word with its tag."""

    tokens: tuple[Token, ...]
    label: int
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """Neighbours of one type."""

    tokens: tuple[Token, ...]
    type: str
    """The tag without what precedes its first hyphen: PER for B-PER."""
    score: float
    """Mean of its tokens or words."""
    word: str
    start: int
    end: int


def probabilities(logits: Logits) -> NDArray[np.float32]:
    """Return the softmax over the labels, in the logits' precision. [T, C] → [T, C]."""
    powers: NDArray[np.float32] = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def tokens_of(text: str, window: Window, *, temperature: float, vocabulary: Vocabulary) -> list[Token]:
    """Return the tokens of a window that are not special."""
    encoded, logits = window.encoded, window.logits
    scores = probabilities(logits)
    calibrated = probabilities(logits / np.float32(temperature)).max(axis=-1).tolist()
    tokens = []
    for index, (token_id, (start, end), special) in enumerate(
        zip(encoded.ids, encoded.offsets, encoded.special_tokens, strict=True)
    ):
        if special:
            continue
        word, surface = vocabulary.token(token_id), text[start:end]
        if vocabulary.has_subword_prefix:
            continues_word = len(word) != len(surface)  # a token with its prefix is longer than the text it stands for
        else:
            continues_word = start > 0 and " " not in text[start - 1 : start + 1]
        if token_id == vocabulary.unknown_id:
            word, continues_word = surface, False
        tokens.append(
            Token(
                index=index,
                word=word,
                start=start,
                end=end,
                continues_word=continues_word,
                scores=scores[index],
                calibrated_confidence=calibrated[index],
            )
        )
    return tokens


def tagged_tokens(tokens: Iterable[Token]) -> list[Tagged]:
    """Return each token with its most probable tag."""
    return [_tagged([token], token.scores, word=token.word) for token in tokens]


def tagged_words(tokens: Iterable[Token], vocabulary: Vocabulary, *, strategy: str) -> list[Tagged]:
    """Return each word with one tag. strategy: which of its tokens decides.

    `first`: the first token. `max`: the token with the highest probability. `average`: the mean of all its tokens' probabilities.
    """
    words: list[list[Token]] = []
    for token in tokens:
        if words and token.continues_word:
            words[-1].append(token)
        else:
            words.append([token])
    return [
        _tagged(word, _word_scores(word, strategy), word=vocabulary.join([token.word for token in word]))
        for word in words
    ]


def grouped(tagged: Iterable[Tagged], labels: Sequence[str], vocabulary: Vocabulary) -> list[Entity]:
    """Join neighbours of one type to entities. A tag that begins with `B-` begins a new entity."""
    groups: list[list[Tagged]] = []
    for item in tagged:
        begins, kind = _split(labels[item.label])
        if groups and not begins and kind == _split(labels[groups[-1][-1].label])[1]:
            groups[-1].append(item)
        else:
            groups.append([item])
    return [
        Entity(
            tokens=tuple(token for item in group for token in item.tokens),
            type=entity_type(labels[group[0].label]),
            score=float(np.mean([np.float32(item.score) for item in group])),
            word=vocabulary.join([item.word for item in group]),
            start=group[0].start,
            end=group[-1].end,
        )
        for group in groups
    ]


def without_overlaps(entities: Iterable[Entity]) -> list[Entity]:
    """Keep the longest of entities that overlap; of equally long entities, that with the higher score. They come in the order of the text.

    Windows of a text share tokens, so an entity at the edge of a window may be found twice, or once as a part. Other than in the pipeline, a
    first entity without characters is kept once: the pipeline compares the first entity with itself.
    """
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda entity: entity.start):
        if kept and entity.start < kept[-1].end:
            kept[-1] = max(kept[-1], entity, key=lambda entity: (entity.end - entity.start, entity.score))
        else:
            kept.append(entity)
    return kept


def _word_scores(word: Sequence[Token], strategy: str) -> NDArray[np.float32]:
    if strategy == "first":
        return word[0].scores
    if strategy == "max":
        return max(word, key=lambda token: token.scores.max()).scores
    mean: NDArray[np.float32] = np.mean(np.stack([token.scores for token in word]), axis=0)
    return mean


def _tagged(tokens: Sequence[Token], scores: NDArray[np.float32], *, word: str) -> Tagged:
    label = int(scores.argmax())
    return Tagged(
        tokens=tuple(tokens),
        label=label,
        score=float(scores[label]),
        word=word,
        start=tokens[0].start,
        end=tokens[-1].end,
    )


def _split(label: str) -> tuple[bool, str]:
    """Return whether a tag begins an entity, and the tag without `B-` or `I-`."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label
